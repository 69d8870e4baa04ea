"""Re-ranking of a shortlist by local descriptors: AMES, Chamfer, and their fusion with the first stage.

Begin at :mod:`patchlib.reranking.rerank`.
"""
