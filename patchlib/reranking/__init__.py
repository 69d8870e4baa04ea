"""Re-ranking of a shortlist by local descriptors: AMES, Chamfer, and their fusion with the first stage.

Begin at :mod:`patchlib.reranking.rerank`.
"""

from patchlib.reranking.ames import AMES, load_ames

__all__ = ["AMES", "load_ames"]
