"""The paper's tables and figures, what each of them says, and which of our records answers."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np

from patchlib.paper.audit_evidence import CNNS, TRANSFORMERS
from patchlib.paper.collation import PaperItem
from patchlib.paper.compare import Cells, Effect, Number, Picture, Record

# our tables of claims, of the notebooks 03, 07, 06, 05, 04, 08
LEVELS, REGIONS, ENCODERS = "table_claims_levels", "table_claims_s5", "table_claims_s4"
FACTORS, PLACE, CODES = "table_claims_s1", "table_claims_s9", "table_claims_s7"
RERANKING, TRAINING = "table_claims_s6", "table_claims_s7_training"  # of 10 and 09
RERANKED = {"column": "reranking_AMES"}
BACKBONES = partial(Effect, table="table_8_9_backbones")
STRATEGIES = partial(Effect, table="table_2_region_selection", record=REGIONS)


def _levels(more: str, less: str, metric: str = "mAP", **other: Any) -> Effect:
    """Tables 8 and 9: a level above another."""
    says = f"{more} above {less}: {metric}"
    claim = rf"{metric}: {more} above {less}"
    return BACKBONES(says=says, record=LEVELS, claim=claim, metric=metric, more={"level": more}, less={"level": less},
                     **other)  # fmt: skip


def _levels_of_table_5(more: str, less: str) -> Effect:
    says = f"without PQ, {more} above {less}: mAP"
    return Effect(says=says, record=LEVELS, claim=f"mAP: {more} above {less}", table="table_5_pq_levels",
                  more={"level": more, "pq": "no"}, less={"level": less, "pq": "no"})  # fmt: skip


def _threshold(delta: float) -> Effect:
    return BACKBONES(says=f"L3 above L0 at δ = {delta}", record=PLACE, claim=f"L3 above L0 at δ = {delta}",
                     metric=f"LocScore@{delta}", more={"level": "L3"}, less={"level": "L0"})  # fmt: skip


def _strategies(more: str, less: str, ours: str, metric: str = "mAP") -> Effect:
    prefix = "" if metric == "mAP" else f"{metric}: "
    return STRATEGIES(says=f"{more} above {less}: {metric}", claim=prefix + ours, metric=metric,
                      more={"method": more}, less={"method": less})  # fmt: skip


def _iou(record: Record) -> tuple[np.ndarray, np.ndarray]:
    ranks = np.asarray(record["config"]["ranks"], float)
    return np.arange(1, len(ranks) + 1) / ranks, np.asarray(record["config"]["iou"], float)


def _weighted(record: Record) -> float:
    precision, iou = _iou(record)
    return float((precision * iou).mean())


def _plain(record: Record) -> float:
    return float(_iou(record)[1].mean())


PAIRS = (
    ("Patchify", "Global", "Patchify L3 above global"),
    ("Sliding Window (0.5)", "Patchify", r"windows, stride 0\.5 above Patchify L3"),
    ("Sliding Window (0.25)", "Sliding Window (0.5)", r"windows, stride 0\.25 above windows, stride 0\.5"),
    ("Region Proposal", "Patchify", r"proposals \(.+\) above Patchify L3"),
    ("Region Proposal", "Sliding Window (0.25)", r"proposals \(.+\) above windows, stride 0\.25"),
)

STEPS = (("L1", "L0"), ("L2", "L1"), ("L3", "L2"))
PRETRAINING = {"encoder": "ConvNext", "pretraining_dataset": "LAION-2B"}, {
    "encoder": "ConvNext", "pretraining_dataset": "ImageNet-1K"}  # fmt: skip

PAPER = (
    PaperItem(
        names=("Figure 1",), shows="the teaser: first images of a query, global against Patchify", notebook="00",
        counterpart="fig_1_teaser",
        comparisons=[Picture(says="more of the first images are right, and the patch says where",
                             record="fig_1_teaser")],
    ),
    PaperItem(
        names=("Figure 3",), shows="LocScore of a ranking, worked out", notebook="04", counterpart="fig_3_locscore",
        comparisons=[
            Number(says="LocScore of the example, each IoU weighted with the precision at its rank",
                   record="fig_3_locscore", item="fig_3_locscore", quantity="LocScore(cont.)", ours=_weighted),
            Number(says="LocScore of the example, as the plain mean of the IoUs",
                   record="fig_3_locscore", item="fig_3_locscore", quantity="LocScore(cont.)", ours=_plain),
        ],
    ),
    PaperItem(
        names=("Table 2",), shows="region selection", notebook="07", counterpart="table_2_region_selection",
        comparisons=[
            Cells(record="table_2_region_selection", table="table_2_region_selection", columns={"strategy": "method"},
                  names={"global": "Global", "Patchify L3": "Patchify", "windows, stride 0.5": "Sliding Window (0.5)",
                         "windows, stride 0.25": "Sliding Window (0.25)",
                         "proposals (grounding-dino)": "Region Proposal"}),
            *(_strategies(*pair, metric) for metric in ("mAP", "LocScore") for pair in PAIRS),
        ],
    ),
    PaperItem(
        names=("Table 3",), shows="re-ranking on mini-ILIAS (poster)", notebook="10", counterpart="table_3_reranking",
        comparisons=[
            Cells(record="table_3_reranking", table="table_3_reranking"),
            Effect(says="Patchify above global, before re-ranking (one published cell is uncertain)",
                   record=LEVELS, claim="mAP: L3 above L0",
                   table="table_3_reranking", metric="mAP@1k", more={"method": "Patchify"}, less={"method": "global"}),
            Effect(says="AMES improves global", record=RERANKING, claim="AMES improves global",
                   table="table_3_reranking", metric="mAP@1k", more=RERANKED | {"method": "AMES"},
                   less={"column": "global", "method": "global"}),
            Effect(says="AMES improves Patchify", record=RERANKING, claim=r"AMES improves L\d",
                   table="table_3_reranking", metric="mAP@1k", more=RERANKED | {"method": "Patchify + AMES"},
                   less={"column": "global", "method": "Patchify"}),
            Effect(says="Patchify alone above global + AMES", record=RERANKING, claim=r"L\d alone above global \+ AMES",
                   table="table_3_reranking", metric="mAP@1k", more={"column": "global", "method": "Patchify"},
                   less=RERANKED | {"method": "AMES"}),
        ],
    ),
    PaperItem(
        names=("Table 4",), shows="size of the pretraining set", notebook="06", counterpart="table_4_pretraining",
        comparisons=[
            Cells(record="table_4_pretraining", table="table_4_pretraining", columns={"dataset": "pretraining_dataset"},
                  names={"OpenCLIP": "CLIP", "ConvNext_IN1k": "ConvNext", "ConvNext_LAION2b": "ConvNext"}),
            Effect(says="local above global", record=ENCODERS, claim="(?P<encoder>.+): L3 above L0",
                   table="table_4_pretraining", more={"type": "local"}, less={"type": "global"}),
            Effect(says="more pretraining is better: the same architecture on more data, L3", record=ENCODERS,
                   claim="more pretraining is better: .+", table="table_4_pretraining", more=PRETRAINING[0],
                   less=PRETRAINING[1], only={"type": "local"}),
        ],
    ),
    PaperItem(
        names=("Table 5",), shows="levels with and without PQ", notebook="08", counterpart="table_5_pq_levels",
        comparisons=[
            Cells(record="table_5_pq_levels", table="table_5_pq_levels"),
            *(_levels_of_table_5(*step) for step in STEPS),
            Effect(says="PQ costs accuracy (ILIAS)", record=CODES, claim=r"(?P<level>L\d): exact above PQ",
                   table="table_5_pq_levels", more={"pq": "no"}, less={"pq": "yes"}, only={"benchmark": "ILIAS"}),
            Effect(says="PQ improves accuracy (INSTRE)", record=CODES, claim=r"(?P<level>L\d): exact above PQ",
                   table="table_5_pq_levels", more={"pq": "yes"}, less={"pq": "no"}, only={"benchmark": "INSTRE"},
                   reverse=True),
            Effect(says="local features with PQ still outperform global features", record=CODES,
                   claim="L3 with PQ above L0 without", table="table_5_pq_levels",
                   more={"level": "L3", "pq": "yes"}, less={"level": "L0", "pq": "no"}),
            Effect(says="the largest m of the grid is the best", record=CODES, claim=r"m = \d+ above m = \d+"),
        ],
    ),
    PaperItem(
        names=("Table 6",), shows="what the codebooks are trained on", notebook="09", counterpart="table_6_pq_training",
        comparisons=[
            Cells(record="table_6_pq_training", table="table_6_pq_training"),
            Effect(says="ground-truth crops train better codebooks than L0", record=TRAINING,
                   claim=r"G\.T\. above L0 \[.+\]", table="table_6_pq_training", more={"training_feature": "G.T."},
                   less={"training_feature": "L0"}),
            *(
                Effect(says=f"L0 trains better codebooks than {level}", record=TRAINING, reverse=True,
                       claim=rf"{level} above L0 \[.+\]", table="table_6_pq_training",
                       more={"training_feature": "L0"}, less={"training_feature": level})
                for level in ("L1", "L2", "L3")
            ),
            *(
                Effect(says=f"{name} trains better codebooks than L3, each with as many lists as its vectors allow",
                       record=TRAINING, claim=rf"own lists: {re.escape(name)} \(\d+\) above L3 .+",
                       table="table_6_pq_training", more={"training_feature": name}, less={"training_feature": "L3"})
                for name in ("L0", "G.T.")
            ),
        ],
    ),
    PaperItem(
        names=("Table 7",), shows="bytes before and after PQ", notebook="08", counterpart="table_7_storage",
        comparisons=[Cells(record="table_7_storage", table="table_7_storage",
                           columns={"uncompressed": "uncompressed_MB", "quantised": "quantized_MB",
                                    "ratio": "compression_ratio"})],
    ),
    PaperItem(
        names=("Table 8", "Table 9"), shows="eight encoders at four levels", notebook="06",
        counterpart="table_8_9_backbones",
        comparisons=[
            Cells(record="table_8_9_backbones", table="table_8_9_backbones", columns={"encoder": "model"}),
            BACKBONES(says="L3 above L0: mAP", record=ENCODERS, claim="(?P<model>.+): L3 above L0",
                      more={"level": "L3"}, less={"level": "L0"}),
            *(_levels("L3", "L0", metric) for metric in ("LocScore", "mLocScore")),
        ],
    ),
    PaperItem(
        names=("Figure S1",), shows="size, place and brightness of the object", notebook="05",
        counterpart="fig_s1_size_location_brightness",
        comparisons=[
            Effect(says=says, record=FACTORS, claim=rf"(?!scenes|collages).+: {claim}")
            for says, claim in (
                ("local wins on small objects", "small objects .+"),
                ("global wins on the largest objects", "large objects .+"),
                ("local is steadier away from the centre", "off-centre, .+"),
                ("medium brightness is best, dark is worse", "medium brightness better than dark, .+"),
                ("medium brightness is best, bright is worse", "medium brightness better than bright, .+"),
                ("local wins at every brightness", "L3 wins at every brightness .+"),
            )
        ],
    ),
    PaperItem(
        names=("Figure S2",), shows="CNNs and transformers by level, on ILIAS", notebook="06",
        counterpart="fig_s2_backbones",
        comparisons=[
            *(_levels(*step, only={"benchmark": "ILIAS"}) for step in STEPS),
            BACKBONES(says="transformers above CNNs", record=ENCODERS, claim="transformers above CNNs .+",
                      more={"model": TRANSFORMERS}, less={"model": CNNS}, only={"benchmark": "ILIAS", "level": "L3"}),
        ],
    ),
    PaperItem(
        names=("Figure S3",), shows="mAP against the size of the pretraining set", notebook="06",
        counterpart="fig_s3_pretraining",
        comparisons=[Effect(says="improves with the scale of the training data", record=ENCODERS,
                            claim="more pretraining is better: .+")],
    ),
    PaperItem(
        names=("Figure S4",), shows="the regions of each strategy", notebook="07", counterpart="fig_s4_regions",
        comparisons=[Picture(says="what each strategy looks at", record="fig_s4_regions")],
    ),
    PaperItem(
        names=("Figure S5",), shows="images that the codebooks are trained on", notebook="09",
        counterpart="fig_s5_pq_training_images",
        comparisons=[Picture(says="ground-truth crops show the instance", record="fig_s5_pq_training_images")],
    ),
    PaperItem(
        names=("Figure S6",), shows="rankings under codebooks of different training", notebook="09",
        counterpart="fig_s6_pq_qualitative",
        comparisons=[Picture(says="ground-truth codebooks find the instance", record="fig_s6_pq_qualitative")],
    ),
    PaperItem(
        names=("Figure S7",), shows="equal AP, unequal LocScore", notebook="04", counterpart="fig_s7_ap_vs_locscore",
        comparisons=[Picture(says="two queries of like AP differ in LocScore", record="fig_s7_ap_vs_locscore")],
    ),
    PaperItem(
        names=("Figure S8", "Figure S9"), shows="LocScore at three thresholds, by level", notebook="04",
        counterpart="fig_s8_s9_thresholds",
        comparisons=[
            *(_threshold(delta) for delta in (0.3, 0.4, 0.5)),
            Effect(says="a stricter δ lowers the score", record=PLACE, claim="a stricter δ lowers the score: .+"),
        ],
    ),
    PaperItem(
        names=("Figure S10", "Figure S11"), shows="qualitative results", notebook="11",
        counterpart="fig_s10_s11_qualitative",
        comparisons=[Picture(says="Patchify ranks more positives first", record="fig_s10_s11_qualitative")],
    ),
)  # fmt: skip
