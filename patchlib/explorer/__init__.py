"""Look into a ranking by clicking, in JupyterLab.

Begin at :func:`patchlib.explorer.widgets.Explorer`.
"""
