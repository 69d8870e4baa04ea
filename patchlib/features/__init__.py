"""Benchmark x regions x encoder -> descriptors on disk, as a :class:`FeatureSet`.

Begin at :func:`extract`; threads, clusters and region proposals are in the modules beside it.
"""

from patchlib.features.extraction import BadImages, cut, extract
from patchlib.features.feature_set import FeatureSet, load

__all__ = ["BadImages", "FeatureSet", "cut", "extract", "load"]
