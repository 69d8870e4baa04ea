"""The workshop's profile runs from what is installed: photographs and a pretrained encoder, without a network."""

import json
from pathlib import Path

import pandas as pd
import pytest

from patchlib.run import runner

PROFILE = """
extends: workshop
benchmarks: {photographs: {photos: 2}}
encoders: [EfficientNet-Lite0, colour-histogram]
resamples: 100
worlds: 0
"""


def test_the_first_pages_show_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    (tmp_path / "few.yaml").write_text(PROFILE)
    pages = ("00", "01", "02", "03", "04")
    assert runner.reproduce(runner.Run(profile=str(tmp_path / "few.yaml"), only=pages, out=tmp_path / "out")) == 0
    counts = pd.read_csv(tmp_path / "out/figures/table_benchmark.csv", index_col="count")["found"]
    # two photographs of each of 31 products, and as large a share of the 280 without any
    assert (counts["images"], counts["queries"]) == (2 * 31 + round(280 * 2 / 10), 31)
    for name in ("fig_1_teaser", "fig_levels", "fig_s7_ap_vs_locscore"):
        record = json.loads((tmp_path / "out/figures" / f"{name}.json").read_text())
        assert record["label"] == "photographs (photos=2)" and record["config"]["encoder"] == "EfficientNet-Lite0"
