"""Photographs that ship with the package, as they were shot and composed into larger pictures of photographs.

Begin at :func:`load`; how the files were made: :mod:`patchlib.benchmarks.photographs.build`.
"""

from patchlib.benchmarks.photographs.loader import load

__all__ = ["load"]
