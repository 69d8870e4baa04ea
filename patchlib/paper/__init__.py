"""What the paper prints, and how ours compares: tables as CSV, statements as YAML, a comparison, an audit.

Begin at :func:`table` and :func:`effect`; notebook 14 goes on with :mod:`compare`, :mod:`audit` and :mod:`table_7`.
"""

from patchlib.paper.published import backbone_levels, backbones, cells, effect, fingerprints, numbers, table

__all__ = ["backbone_levels", "backbones", "cells", "effect", "fingerprints", "numbers", "table"]
