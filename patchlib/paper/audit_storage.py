"""The cases of :mod:`patchlib.paper.audit` that are about bytes: Table 7 and what the text says about it."""

from __future__ import annotations

import pandas as pd

from patchlib import paper
from patchlib.pq import file_size


def ratios() -> pd.DataFrame:
    """Compression ratios of Table 7 out of its own sizes."""
    rows = paper.table("table_7_storage").set_index(["benchmark", "level"])
    computed = (rows["uncompressed_MB"] / rows["quantized_MB"]).round(2)
    return pd.DataFrame(
        {"printed": rows["compression_ratio"], "computed": computed, "agrees": computed == rows["compression_ratio"]}
    )


def sizes() -> pd.DataFrame:
    """Table 7's sizes in bytes, and as printed if MB were 10^6 bytes throughout; ``in its units`` is what fits all."""
    rows = []
    for cell in paper.table("table_7_storage").itertuples():
        vectors = file_size.IMAGES[cell.benchmark] * file_size.PATCHES[cell.level]
        of = {
            "uncompressed": (file_size.raw_bytes(vectors, file_size.DIM), cell.uncompressed_MB),
            "quantised": (file_size.index_bytes(vectors, file_size.DIM), cell.quantized_MB),
        }
        for kind, (size, printed) in of.items():
            shown = file_size.printed(size, cell.benchmark, cell.level, kind == "quantised")
            rows.append((cell.benchmark, cell.level, kind, size, printed, round(size / file_size.MB, 2), shown))
    columns = ["benchmark", "level", "kind", "bytes", "printed", "in MB", "in its units"]
    table = pd.DataFrame(rows, columns=columns).set_index(columns[:3])
    return table.assign(agrees=table["printed"] == table["in MB"])


def image_counts(within: int = 50) -> pd.DataFrame:
    """How many images Table 7's sizes admit: of all counts near ours, those that give every printed size."""
    found = {}
    table = paper.table("table_7_storage")
    for where, images in file_size.IMAGES.items():
        rows = table[table["benchmark"] == where]
        fits = [n for n in range(images - within, images + within + 1) if _all_sizes_fit(rows, where, n)]
        found[where] = {"ours": images, "admitted": ", ".join(map(str, fits)), "agrees": fits == [images]}
    return pd.DataFrame.from_dict(found, orient="index")


def _all_sizes_fit(rows: pd.DataFrame, where: str, images: int) -> bool:
    def shown(level: str, quantised: bool) -> float:
        bytes_of = file_size.index_bytes if quantised else file_size.raw_bytes
        return file_size.printed(bytes_of(images * file_size.PATCHES[level], file_size.DIM), where, level, quantised)

    return all(
        shown(row.level, False) == row.uncompressed_MB and shown(row.level, True) == row.quantized_MB
        for row in rows.itertuples()
    )


def true_ratios() -> pd.DataFrame:
    """Compression ratios in bytes of one kind."""
    size = sizes()["bytes"].unstack("kind")
    true = (size["uncompressed"] / size["quantised"]).round(2)
    printed = paper.table("table_7_storage").set_index(["benchmark", "level"])["compression_ratio"].sort_index()
    return pd.DataFrame({"printed": printed, "in bytes": true, "agrees": printed == true})


def growth() -> pd.DataFrame:
    """What the text says about L3 over L0, against the same in bytes."""
    size = sizes()["bytes"].unstack("level")
    said = paper.numbers("table_7_storage")
    said["kind"] = said["quantity"].str.split().str[0]
    said = said.set_index(["benchmark", "kind"])
    said["in bytes"] = size["L3"] / size["L0"]
    decimals = said["printed"].str.partition(".")[2].str.len()
    off = (said["in bytes"] - said["value"]).abs()
    return said[["printed", "in bytes"]].assign(agrees=off <= 0.5 * 10.0**-decimals)


def square_of_level() -> pd.DataFrame:
    """Uncompressed size over that of L0 (ILIAS, one unit throughout), against the square of the finest grid."""
    rows = paper.table("table_7_storage").query("benchmark == 'ILIAS'").set_index("level")
    table = pd.DataFrame({"size over L0": (rows["uncompressed_MB"] / rows["uncompressed_MB"]["L0"]).round(2)})
    table["square"] = [cells**2 for cells in range(1, len(table) + 1)]
    return table.assign(agrees=table["size over L0"] == table["square"]).drop("L0")
