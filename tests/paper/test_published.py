"""The published numbers, spot-checked against the paper and against their own arithmetic."""

import re

import pytest

from patchlib import paper
from patchlib.paper import published


def test_levels_of_siglip() -> None:
    levels = paper.backbone_levels("SigLIP", "ILIAS")
    assert levels.index.tolist() == ["L0", "L1", "L2", "L3"]
    assert levels.loc["L0", "mAP"] == 55.029
    assert levels.loc["L3", "LocScore"] == 19.745


@pytest.mark.parametrize(("model", "where"), [("SigLip", "ILIAS"), ("SigLIP", "ILAS")])
def test_unknown_names_list_the_nearest(model: str, where: str) -> None:
    with pytest.raises(ValueError, match="did you mean (SigLIP|ILIAS)"):
        paper.backbone_levels(model, where)


def test_unknown_table() -> None:
    with pytest.raises(ValueError, match="table_7_storage"):
        paper.table("table_7_storag")


def test_every_number_says_how_surely_it_was_read() -> None:
    explained = set(re.findall(r"^. `(\w+)`", (published.FOLDER / "README.md").read_text(), re.MULTILINE))
    assert len(published.NUMBERS) == 7
    for name in published.NUMBERS:
        assert set(paper.table(name)["status"]) <= explained, name
        assert "note" in paper.table(name), name
    rows = paper.table("table_8_9_backbones")
    assert (rows["value"].isna() == (rows["status"] == "unreadable")).all()
    assert paper.table("table_3_reranking").query("status == 'uncertain'")["patchify_level"].tolist() == ["L2", "L2"]


@pytest.mark.parametrize(
    ("name", "count"),
    [("table_2_region_selection", 5 * 2 * 2), ("table_3_reranking", 2 * 8), ("table_4_pretraining", 8 * 2 * 2),
     ("table_5_pq_levels", 4 * 2 * 2 * 2), ("table_6_pq_training", 5), ("table_7_storage", 4 * 2 * 3),
     ("table_8_9_backbones", 8 * 4 * 2 * 6 - 7)],
)  # fmt: skip
def test_every_printed_number_is_a_cell(name: str, count: int) -> None:
    found = paper.cells(name)
    assert len(found) == count
    assert found["value"].notna().all() and found["benchmark"].notna().all()
    keys = found.drop(columns=["printed", "value"])
    assert not keys.duplicated().any()


def test_cells_keep_the_printed_digits() -> None:
    rows = paper.cells("table_7_storage").set_index(["benchmark", "level", "metric"])["printed"]
    assert rows["INSTRE", "L3", "uncompressed_MB"] == "3040"
    assert paper.cells("table_3_reranking").query("encoder == 'DINOv2'")["printed"].tolist() == ["18.80", "26.50"]


def test_effects_are_differences_of_two_printed_numbers() -> None:
    grid = paper.effect("table_2_region_selection", "mAP", {"method": "Patchify"}, {"method": "Global"})
    assert grid.round(2).to_dict() == {"ILIAS": round(65.16 - 55.03, 2), "INSTRE": round(87.01 - 78.48, 2)}
    wide = paper.effect("table_4_pretraining", "mAP", {"type": "local"}, {"type": "global"})
    assert wide["ImageNet-1K", "ConvNext", "ILIAS"] == pytest.approx(1.90 - 8.61)
    matched = paper.effect("table_3_reranking", "mAP@1k", {"method": "Patchify"}, {"method": "global"})
    assert matched.round(2).tolist() == [round(42.98 - 21.80, 2), round(50.27 - 20.41, 2), round(40.48 - 33.86, 2)]


def test_effects_average_over_several_rows() -> None:
    of_two = paper.effect(
        "table_6_pq_training", "mAP", {"training_feature": "G.T."}, {"training_feature": ["L1", "L2"]}
    )
    assert of_two["not stated"] == pytest.approx(65.07 - (55.80 + 55.53) / 2)


def test_an_effect_that_is_not_printed() -> None:
    with pytest.raises(ValueError, match="has no mAP for both"):
        paper.effect("table_5_pq_levels", "mAP", {"level": "L4"}, {"level": "L0"})


def test_numbers_of_the_poster() -> None:
    example = paper.numbers("fig_3_locscore").set_index(["quantity", "case"])["value"]
    assert example["rank"].tolist() == [1, 3, 4, 7]
    assert round(example["IoU"].mean(), 3) == example["LocScore(cont.)", 0]
    with pytest.raises(ValueError, match="fig_3_locscore"):
        paper.numbers("fig_3_locscor")
