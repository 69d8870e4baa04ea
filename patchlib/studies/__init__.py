"""One module a question of the paper, from benchmark and features to a table.

Begin at :func:`verdicts`, which judges every claim.
"""

from patchlib.studies.claims import claims_by_bin, claims_of_encoders, verdicts
from patchlib.studies.encoder_study import available, backbone_table, by_level, counts, pretraining_table, sample
from patchlib.studies.locscore import extremes, growth, loc_score_curve, positives_found

__all__ = ["available", "backbone_table", "by_level", "claims_by_bin", "claims_of_encoders", "counts"]
__all__ += ["extremes", "growth", "loc_score_curve", "positives_found", "pretraining_table", "sample", "verdicts"]
