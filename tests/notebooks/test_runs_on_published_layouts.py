"""Notebooks 01 to 03 run on the published layouts, quirks included, and print what hand-made fixtures must give."""

from collections.abc import Callable
from pathlib import Path

import layouts
import pandas as pd
import pytest

from patchlib.run import runner


@pytest.mark.parametrize(
    ("name", "write", "images", "queries"),
    [
        ("instre", layouts.write_instre, len(layouts.INSTRE_DATABASE), len(layouts.INSTRE_QUERIES)),
        ("ilias", layouts.write_ilias, 3, 3),
    ],
)
def test_notebooks_run_on_the_layout(
    name: str,
    write: Callable[[Path], Path],
    images: int,
    queries: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    overrides = {"benchmark": f"{name}:{write(tmp_path / 'data')}", "encoder": "colour-histogram"}
    (tmp_path / "alone.yaml").write_text("extends: builtin\nworlds: 0\n")  # the shipped worlds are not this test's
    run = runner.Run(
        profile=str(tmp_path / "alone.yaml"), overrides=overrides, only=("01", "02", "03"), out=tmp_path / "out"
    )
    assert runner.reproduce(run) == 0
    counts = pd.read_csv(tmp_path / "out/figures/table_benchmark.csv", index_col="count")["found"]
    assert (counts["images"], counts["queries"]) == (images, queries)
    levels = pd.read_csv(tmp_path / "out/figures/table_levels.csv", index_col="level")
    assert levels["patches"].tolist() == [1, 1 + 4, 1 + 4 + 9, 1 + 4 + 9 + 16]
    assert levels["queries"].le(queries).all()
    # every image is a positive or one of very few others: no ranking can be bad, and LocScore never exceeds AP
    assert (levels["mAP"] > 0).all()
    assert (levels["LocScore"] <= levels["mAP"]).all()
