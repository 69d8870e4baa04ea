"""The published numbers, spot-checked against the paper and against their own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from patchlib import paper


def test_every_table_opens() -> None:
    assert len(paper.tables()) == 7
    for name in paper.tables():
        assert len(paper.table(name)) >= 4


def test_levels_of_siglip() -> None:
    levels = paper.backbone_levels("SigLIP", "ILIAS")
    assert levels.index.tolist() == ["L0", "L1", "L2", "L3"]
    assert levels.loc["L0", "mAP"] == 55.029
    assert levels.loc["L3", "LocScore"] == 19.745


def test_mean_loc_score_is_the_mean_of_three_thresholds_wherever_all_can_be_read() -> None:
    rows = paper.table("table_8_9_backbones").pivot(
        index=["model", "level", "benchmark"], columns="metric", values="value"
    )
    mean = rows[["LocScore@0.3", "LocScore@0.4", "LocScore@0.5"]].mean(axis=1, skipna=False)
    readable = mean.notna()
    assert readable.sum() == 59
    assert np.abs(mean - rows["mLocScore"])[readable].max() < 0.001


@pytest.mark.parametrize(("model", "where"), [("SigLip", "ILIAS"), ("SigLIP", "ILAS")])
def test_unknown_names_list_the_nearest(model: str, where: str) -> None:
    with pytest.raises(ValueError, match="did you mean (SigLIP|ILIAS)"):
        paper.backbone_levels(model, where)


def test_unknown_table() -> None:
    with pytest.raises(ValueError, match="table_7_storage"):
        paper.table("table_7_storag")
