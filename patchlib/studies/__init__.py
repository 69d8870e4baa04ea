"""One module a question of the paper, from benchmark and features to a table.

Begin at :func:`verdicts`, which judges every claim.
"""

from patchlib.studies.claims import (
    available,
    backbone_table,
    by_level,
    claims_by_bin,
    claims_of_encoders,
    extremes,
    loc_score_curve,
    pretraining_table,
    sample,
    verdicts,
)

__all__ = [
    "available",
    "backbone_table",
    "by_level",
    "claims_by_bin",
    "claims_of_encoders",
    "extremes",
    "loc_score_curve",
    "pretraining_table",
    "sample",
    "verdicts",
]
