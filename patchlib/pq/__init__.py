"""Compressed indexes with image-level rankings, in memory and on disk.

Begin at :class:`PatchIndex`.
"""

from patchlib.pq.index import PatchIndex

__all__ = ["PatchIndex"]
