"""The published numbers held against each other and against the text: what agrees, what does not, how it may be read.

A check turns a statement into cases that are true or false by arithmetic on the published tables; nothing here depends
on our encoders or benchmark. A case that does not agree is a fact about printed numbers and not about anybody's care:
``reading`` names the harmless explanation where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from patchlib.paper import audit_evidence as evidence
from patchlib.paper import audit_storage


@dataclass(frozen=True)
class Check:
    """A statement and its cases.

    Attributes:
        name: short.
        where: section or table.
        says: the statement, close to the paper's words.
        cases: makes the evidence: one row a case, its index names the case, column ``agrees`` says whether it does.
        reading: how to read what does not agree, or what follows.
    """

    name: str
    where: str
    says: str
    cases: Callable[[], pd.DataFrame]
    reading: str = ""


def findings(checks: Iterable[Check] | None = None) -> pd.DataFrame:
    """Every check's verdict: "confirmed", "with exceptions" or "not confirmed" as all, some or none of its cases agree.

    Args:
        checks: None = :data:`CHECKS`.

    Returns:
        DataFrame indexed by the checks' names: where, statement, cases, agree, verdict, exceptions (three of them),
        reading.
    """
    rows = {}
    for check in CHECKS if checks is None else checks:
        found = check.cases()
        agree = int(found["agrees"].sum())
        missed = [evidence.case_name(key) for key in found.index[~found["agrees"]]]
        rows[check.name] = {
            "where": check.where,
            "statement": check.says,
            "cases": len(found),
            "agree": agree,
            "verdict": "confirmed" if not missed else "with exceptions" if agree else "not confirmed",
            "exceptions": "; ".join(missed[:3]) + (f"; {len(missed) - 3} more" if len(missed) > 3 else ""),
            "reading": check.reading,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")


CHECKS = (
    Check("mLocScore", "Tables 8, 9; S9",
          "mLocScore is the mean of LocScore over the thresholds 0.3, 0.4, 0.5",
          evidence.mean_of_thresholds,
          "in every row whose three thresholds can be read, to the rounding; of those that a damaged copy left in "
          "doubt, some were settled by this very sum"),
    Check("mLocScore, other wording", "S9",
          "mLocScore averages the IoU values of the retrieved patches",
          evidence.mean_of_ious,
          "describes the column LocScore; the two names seem to have changed places in that paragraph"),
    Check("order of scores", "Tables 8, 9",
          "a stricter threshold never scores higher, and no LocScore exceeds mAP",
          evidence.order),
    Check("LocScore, plain mean", "Tables 8, 9 (L0)",
          "LocScore is a plain mean of IoUs, so that at L0 all encoders are equal",
          evidence.plain_mean,
          "the tables weight each IoU with the precision at its rank, as the definition does"),
    Check("LocScore, the poster's example", "poster; Figure 3",
          "the printed LocScore(cont.) follows from the printed ranks and IoUs by the weighted formula",
          evidence.poster_example,
          "it is their plain mean; the column may be meant as mean IoU"),
    Check("thresholds of the example", "S9; Figure 3",
          "the third image is right at 0.3 and wrong at 0.5",
          evidence.poster_thresholds),
    *(
        Check(f"{label} against Tables 8, 9", f"{label}; Tables 8, 9",
              "the same cells have the same values",
              partial(evidence.same_cells, name),
              reading)
        for label, name, reading in (
            ("Table 2", "table_2_region_selection", ""),
            ("Table 4", "table_4_pretraining",
             "one digit apart in VGG16, which table errs cannot be told; CLIP (OpenCLIP there) is cut, not rounded"),
            ("Table 5", "table_5_pq_levels", ""),
        )
    ),
    Check("compression ratios", "Table 7",
          "the ratio is that of the two printed sizes",
          audit_storage.ratios),
    Check("unit of the sizes", "Table 7",
          "the sizes are in MB, 10^6 bytes each",
          audit_storage.sizes,
          "three units: MiB and 1000 x GiB before, MB after PQ (INSTRE L3: MiB); with them all sixteen fit"),
    Check("images behind the sizes", "Table 7",
          "the sizes are those of 26,543 (INSTRE) and 4,885 (ILIAS) images, and of no other number",
          audit_storage.image_counts,
          "our inference, the paper does not say; INSTRE's usual protocol has 27,293 images"),
    Check("compression ratios in bytes", "Table 7",
          "the ratios are those of the bytes",
          audit_storage.true_ratios,
          "a quotient of MiB and MB is 5 % too small: PQ saves more than the table says"),
    Check("growth from L0 to L3", "S7",
          "L3 takes 29.3 (INSTRE) and 30 (ILIAS) times L0 before PQ, 3.6 and 1.6 times after",
          audit_storage.growth,
          "30 patches take 30 times one; the two INSTRE numbers divide sizes of different units"),
    Check("memory and level", "S7",
          "memory is proportional to the square of the patch level",
          audit_storage.square_of_level,
          "true of the finest grid alone; levels are cumulative, 1, 5, 14, 30 are sums of squares"),
    Check("PQ on ILIAS", "S7; Table 5",
          "PQ lowers mAP on ILIAS",
          partial(evidence.quantised, "ILIAS"),
          '"slight" fits L0; the loss grows with the level, see the evidence'),
    Check("PQ on INSTRE", "S7; Table 5",
          "PQ does not lower mAP on INSTRE but raises it",
          lambda: evidence.quantised("INSTRE").assign(agrees=lambda table: ~table["agrees"])),
    Check("patches with PQ", "S7; Table 5",
          "local features with PQ still outperform global features",
          evidence.quantised_above_global),
    Check("ground-truth codebooks", "S7; Table 6",
          "the highest mAP is that of ground-truth features",
          partial(evidence.training_features, "G.T.", ("L0", "L1", "L2", "L3"))),
    Check("codebooks of finer levels", "S7; Table 6",
          "features of finer levels train worse codebooks than L0",
          partial(evidence.training_features, "L0", ("L1", "L2", "L3")),
          "the text names L1 and L2; L3 is lower still"),
    Check("Table 6 within Table 5", "Tables 5, 6",
          "one row of Table 6 is the L3 row with PQ of Table 5 (ILIAS)",
          evidence.table_6_in_table_5,
          "Table 6 names neither benchmark nor level, Table 5 no training feature: another setting, most likely"),
    Check("windows", "S5; Table 2",
          "sliding windows outperform Patchify in mAP and LocScore",
          lambda: pd.concat(evidence.strategies(f"Sliding Window ({stride})", "Patchify") for stride in (0.25, 0.5))),
    Check("best strategy", "S5; Table 2",
          "stride 0.25 achieves the best results",
          partial(evidence.strategies, "Sliding Window (0.25)", "Patchify", "Sliding Window (0.5)", "Region Proposal"),
          "of the grid methods, which the sentence is about; region proposals are introduced as an upper bound"),
    Check("mAP and LocScore", "S5; Table 2",
          "higher mAP coincides with higher LocScore across strategies",
          evidence.coincide),
    Check("L3 above L0", "S8; Tables 8, 9",
          "Patchify consistently outperforms global features",
          partial(evidence.level_3_above_0, "mAP", "LocScore"),
          "one encoder on one benchmark, which S4 names as the exceptional case"),
    *(
        Check(f"granularity, {metric}", "S5; Tables 8, 9",
              "increasing patch granularity consistently enhances performance",
              partial(evidence.finer_levels, metric),
              reading)
        for metric, reading in (
            ("mAP", "S4 names this one"),
            ("LocScore", "S4 names this one"),
            ("mLocScore", "the sentence is about mAP and LocScore; at fixed thresholds a finer level often costs"),
        )
    ),
    Check("pretraining", "S4; Table 4",
          "performance consistently improves with the scale of training data",
          evidence.pretraining,
          "a trend with exceptions; architecture and objective change along with the data"),
    Check("transformers and CNNs", "S4; Figure S2; Tables 8, 9 (L3)",
          "transformers consistently outperform CNNs, ConvNext on LAION-2B apart: mAP and LocScore",
          partial(evidence.families, "mAP", "LocScore")),
    Check("transformers and CNNs, mLocScore", "S4; Tables 8, 9 (L3)",
          "the same for mLocScore",
          partial(evidence.families, "mLocScore"),
          "the text says localisation quality and Figure S2 draws LocScore"),
    Check("ConvNext on LAION-2B", "S4; Table 9 (L3)",
          "on par with the transformers",
          evidence.on_par),
    Check("re-ranking adds", "poster",
          "AMES improves every first stage",
          evidence.reranked,
          "by much the same everywhere, which supports our reading of two cells that the scan leaves in doubt"),
    Check("encoder of the comparison", "S6; poster",
          "all methods are evaluated with SigLIP",
          evidence.poster_encoders,
          "S6 is about INSTRE and ILIAS in the paper, the poster about mini-ILIAS: two experiments"),
)  # fmt: skip
