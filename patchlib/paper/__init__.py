"""What the paper prints, and how ours compares: tables as CSV, one comparison per statement, an audit.

Begin at :func:`table` and :func:`effect`; pages compare through :mod:`patchlib.paper.collation`.
"""

from patchlib.paper.published import STATUS, backbone_levels, cells, effect, fingerprints, numbers, table, tables

__all__ = ["STATUS", "backbone_levels", "cells", "effect", "fingerprints", "numbers", "table", "tables"]
