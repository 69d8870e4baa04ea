"""Table 7 cell by cell, and what its sizes say."""

import pytest

from patchlib import paper
from patchlib.paper import table_7
from patchlib.pq import file_size


def test_every_cell_to_the_printed_digit() -> None:
    ours, published = table_7.from_indexes(), paper.table("table_7_storage").set_index(["level", "benchmark"])
    columns = {"uncompressed": "uncompressed_MB", "quantised": "quantized_MB", "ratio": "compression_ratio"}
    for name, column in columns.items():
        assert ours[name].tolist() == ours[f"paper {name}"].tolist() == published[column].tolist()
    assert table_7.agreement(ours) == "16 of 16 sizes, 8 of 8 ratios"
    vectors = 26543 * 30
    raw = vectors * 1024 * 4
    quantised = 4096 * 1024 * 4 + 64 * 256 * 16 * 4 + 4096 * 8 + vectors * 72 + file_size.HEADER
    row = ours.loc["L3", "INSTRE"]
    assert (row["true MB"], row["true quantised MB"]) == (round(raw / 1e6, 2), round(quantised / 1e6, 2))
    assert row["true ratio"] == round(raw / quantised, 2) == 43.38


def test_sizes_in_bytes() -> None:
    sizes = table_7.sizes()
    assert sizes.at[("ILIAS", "L0", "uncompressed"), "bytes"] == 4885 * 1024 * 4
    assert (sizes["printed"] == sizes["in its units"]).all()
    misfits = sizes.query("~agrees").index
    assert misfits[misfits.get_level_values("kind") == "quantised"].tolist() == [("INSTRE", "L3", "quantised")]
    assert table_7.ratios("bytes")["computed"].tolist() == [1.10, 5.10, 12.30, 21.13, 5.50, 19.83, 34.12, 43.38]


def test_no_other_number_of_images_gives_the_sizes() -> None:
    assert table_7.image_counts()["admitted"].to_dict() == {"INSTRE": "26543", "ILIAS": "4885"}


def test_growth_in_bytes() -> None:
    growth = table_7.growth()["in bytes"]
    assert growth["INSTRE", "uncompressed"] == 30
    assert growth["INSTRE", "quantised"] == pytest.approx(75.19 / 19.77, abs=0.001)
    assert table_7.square_of_level()["size over L0"].tolist() == [1 + 4, 1 + 4 + 9, 1 + 4 + 9 + 16]
