"""Panels, one module per family: each draws into the axes it is given, the notebook owns the layout.

Begin at the notebook whose figure you want; style, saving and the basic panels are in :mod:`patchlib.plots`.
"""

from patchlib.charts import (
    attributes,
    collation,
    compression,
    encoders,
    examples,
    heat_maps,
    levels,
    locscore,
    pooling,
    regions,
    reranking,
    scale,
)

__all__ = ["attributes", "collation", "compression", "encoders", "examples", "heat_maps", "levels", "locscore"]
__all__ += ["pooling", "regions", "reranking", "scale"]
