"""Re-ranking of a shortlist by local descriptors: AMES, ELViS, Chamfer, and their fusion with the first stage.

Begin at :mod:`patchlib.reranking.rerank`.
"""

from patchlib.reranking.ames import AMES, load_ames
from patchlib.reranking.elvis import ELViS, load_elvis

__all__ = ["AMES", "ELViS", "load_ames", "load_elvis"]
