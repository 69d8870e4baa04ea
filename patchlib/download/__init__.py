"""From ``data_manifest.yaml`` to verified files on disk.

Begin at :func:`patchlib.download.store.get`; ``python -m patchlib data`` is :mod:`patchlib.download.command`.
"""
