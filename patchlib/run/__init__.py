"""Headless runs of the notebooks, and what is made of them: README blocks, the website.

Begin at :func:`patchlib.run.runner.reproduce`.
"""
