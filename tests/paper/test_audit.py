"""The audit's arithmetic: the counts that were found by hand, and evidence that can fail."""

import pandas as pd
import pytest

from patchlib import paper
from patchlib.paper import audit, table_7
from patchlib.paper.audit import Check


@pytest.fixture(scope="module")
def findings() -> pd.DataFrame:
    return audit.findings(audit.checks())


@pytest.mark.parametrize(
    ("check", "agree", "cases"),
    [("mLocScore", 59, 64 - 5), ("mLocScore, other wording", 0, 64), ("Table 2 against Tables 8, 9", 8, 2 * 2 * 2),
     ("Table 4 against Tables 8, 9", 30, 8 * 2 * 2), ("Table 5 against Tables 8, 9", 16, 4 * 2 * 2),
     ("compression ratios", 8, 8), ("unit of the sizes", 7, 16), ("growth from L0 to L3", 2, 4),
     ("memory and level", 0, 3), ("PQ on ILIAS", 4, 4), ("PQ on INSTRE", 4, 4), ("patches with PQ", 12, 2 * 2 * 3),
     ("windows", 8, 2 * 2 * 2), ("best strategy", 8, 3 * 4), ("mAP and LocScore", 20, 2 * (5 * 4 // 2)),
     ("granularity, mAP", 15, 16), ("granularity, mLocScore", 16 - 9, 16), ("re-ranking adds", 7, 7),
     ("PQ and one global descriptor", 4, 2 * 3), ("mAP and LocScore, families", 4, 2 * 2),
     ("mAP and LocScore, encoders", 16, 8 * 2), ("pretraining at equal dimension", 16, 4 * 4),
     ("pretraining against dimension", 62, 16 * 4), ("encoder of the comparison", 8, 16),
     ("Table 6 within Table 5", 0, 5)],
)  # fmt: skip
def test_counts(findings: pd.DataFrame, check: str, agree: int, cases: int) -> None:
    assert (findings.at[check, "agree"], findings.at[check, "cases"]) == (agree, cases)


def test_verdict_follows_from_the_counts() -> None:
    def check(name: str, *agrees: bool) -> Check:
        cases = pd.DataFrame({"agrees": agrees}, index=[f"case {n}" for n in range(len(agrees))])
        return Check(name=name, where="", says="", cases=lambda: cases)

    judged = audit.findings([check("all", True, True), check("some", True, *[False] * 4), check("none", False)])
    assert judged["verdict"].to_dict() == {"all": "confirmed", "some": "with exceptions", "none": "not confirmed"}
    assert judged["exceptions"].tolist() == ["", "case 1; case 2; case 3; 1 more", "case 0"]


def test_every_check_has_its_own_name_and_every_exception_its_reading(findings: pd.DataFrame) -> None:
    assert findings.index.is_unique
    assert (findings.loc[findings["verdict"] != "confirmed", "reading"] != "").all()


def test_rows_of_mlocscore_that_were_read_without_doubt() -> None:
    means = audit.mean_of_thresholds()
    assert means["clean"].sum() == 46 and means.loc[means["clean"], "agrees"].all()
    row = means.loc[("SigLIP", "ILIAS", "L3")]
    cells = paper.backbone_levels("SigLIP", "ILIAS").loc["L3"]
    assert row["mean"] == pytest.approx((cells["LocScore@0.3"] + cells["LocScore@0.4"] + cells["LocScore@0.5"]) / 3)


def test_one_wrong_digit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = paper.backbones()
    rows.loc[("SigLIP", "ILIAS", "L2"), "mLocScore"] += 0.1
    monkeypatch.setattr(paper, "backbones", rows.copy)
    assert audit.mean_of_thresholds().query("~agrees").index.tolist() == [("SigLIP", "ILIAS", "L2")]


def test_cells_that_differ_between_table_4_and_table_8_and_9() -> None:
    off = audit.same_cells("table_4_pretraining").query("~agrees")["difference"].round(3)
    assert off.to_dict() == {
        ("VGG16", "INSTRE", "L0", "mAP"): round(26.90 - 26.690, 3),
        ("OpenCLIP", "INSTRE", "L0", "mAP"): round(73.837 - 73.83, 3),
    }


def test_the_posters_example() -> None:
    (row,) = audit.poster_example().to_dict("records")
    assert row["weighted"] == pytest.approx((1 * 0.174 + 2 / 3 * 0.391 + 3 / 4 * 0.533 + 4 / 7 * 0.461) / 4)
    assert row["plain mean"] == pytest.approx((0.174 + 0.391 + 0.533 + 0.461) / 4)


def test_more_data_and_lower_map() -> None:
    missed = audit.pretraining().query("~agrees")["gap"].round(2).to_dict()
    assert missed == {
        ("ILIAS", "global", "CLIP 400M above DINOv2 142M"): round(31.60 - 40.56, 2),
        ("ILIAS", "local", "CLIP 400M above DINOv2 142M"): round(53.35 - 57.51, 2),
        ("INSTRE", "local", "SigLIP 10B above CLIP 400M"): round(87.01 - 87.57, 2),
        ("INSTRE", "local", "SigLIP 10B above ConvNext 2B"): round(87.01 - 92.87, 2),
    }


def test_pairs_of_encoders_are_parted_by_dimension_into_all() -> None:
    parts = {which: audit.pretraining([which]) for which in ("equal", "fewer", "more")}
    # DINOv2 and SigLIP have as many dimensions, CLIP has fewer than DINOv2, SigLIP more than CLIP
    pairs = {which: {key[2] for key in table.index} for which, table in parts.items()}
    assert "SigLIP 10B above DINOv2 142M" in pairs["equal"] and "CLIP 400M above DINOv2 142M" in pairs["fewer"]
    assert pairs["more"] == {"SigLIP 10B above CLIP 400M", "SigLIP 10B above ConvNext 2B"}
    assert sum(map(len, parts.values())) == len(audit.pretraining())


def test_correlation_by_hand() -> None:
    levels = paper.backbone_levels("SigLIP", "ILIAS")[["mAP", "LocScore"]].to_numpy()
    x, y = (levels - levels.mean(axis=0)).T
    expected = (x * y).sum() / (x @ x * (y @ y)) ** 0.5
    assert audit.correlation("model").at[("SigLIP", "ILIAS"), "r"] == pytest.approx(expected)


def test_patches_after_pq_in_bytes_of_the_global_descriptor() -> None:
    times = table_7.beside_global()["times global"]
    # ILIAS L3: 28.41 MB of 10^6 bytes, over 4,885 descriptors of 1,024 float32
    assert times["ILIAS", "L3"] == pytest.approx(28.41e6 / (4885 * 1024 * 4), abs=1e-3)


def test_where_finer_levels_cost() -> None:
    fails = audit.finer_levels("mLocScore").query("~agrees").index
    assert set(fails) == {
        ("VGG16", "ILIAS"), ("ResNet101", "ILIAS"), ("ResNet101", "INSTRE"), ("Inception", "ILIAS"),
        ("Inception", "INSTRE"), ("DINOv2", "INSTRE"), ("SigLIP", "INSTRE"), ("ConvNext_IN1k", "ILIAS"),
        ("ConvNext_IN1k", "INSTRE"),
    }  # fmt: skip


def test_effects_name_their_pairs_where_there_are_several() -> None:
    exact = {level: ({"level": level, "pq": "no"}, {"level": level, "pq": "yes"}) for level in ("L0", "L3")}
    loss = audit.effects("table_5_pq_levels", exact)
    assert loss["effect"].round(2).to_dict() == {
        ("mAP", "L0", "ILIAS"): round(55.03 - 54.97, 2), ("mAP", "L0", "INSTRE"): round(78.48 - 81.99, 2),
        ("mAP", "L3", "ILIAS"): round(65.16 - 59.96, 2), ("mAP", "L3", "INSTRE"): round(87.01 - 88.52, 2),
    }  # fmt: skip
    assert loss["agrees"].tolist() == [True, False, True, False]
    assert audit.effects("table_5_pq_levels", {"L3": exact["L3"]}).index.tolist() == [
        ("mAP", "ILIAS"),
        ("mAP", "INSTRE"),
    ]


def test_families_where_localisation_parts_them() -> None:
    (given,) = (check.cases.keywords for check in audit.checks() if check.name == "transformers and CNNs, mLocScore")
    missed = audit.families(**given | {"metrics": ["mAP", "LocScore", "mLocScore"]}).query("~agrees").index
    assert set(missed) == {
        ("mLocScore", "INSTRE", f"{transformer} above {cnn}")
        for transformer in ("SigLIP", "DINOv2")
        for cnn in ("VGG16", "ResNet101")
    }
