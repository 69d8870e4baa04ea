"""Table 7: where its sizes come from, and whether they agree with each other and with the text.

An IVFPQ index of known shape has a known size (:mod:`patchlib.pq.file_size`). So the printed sizes say which units they
are in, and how many images there were. The checks return one row a case, with a column ``agrees``.
"""

import pandas as pd

from patchlib import paper, regions
from patchlib.pq import file_size

NAME = "table_7_storage"
MIB, GIB, MB = 2**20, 2**30, 10**6
IMAGES = {"INSTRE": 26543, "ILIAS": 4885}  # the sizes admit no other numbers
PATCHES = {f"L{level}": regions.PATCHES[level] for level in regions.LEVELS}
DIM = 1024  # of the encoder behind the table
COLUMNS = {"uncompressed": "uncompressed_MB", "quantised": "quantized_MB"}


def printed(n_bytes: int, benchmark: str, level: str, quantised: bool = False) -> float:
    """A size in the unit that reproduces the cell of Table 7, to the printed digit.

    The table's heading says MB. Its cells are in three units:

    - uncompressed below 1 GiB: MiB (2^20 bytes), two decimals;
    - uncompressed above (INSTRE L2 and L3): GiB with two decimals, times 1000 (1.42 GiB is printed as 1420);
    - quantised: MB (10^6 bytes), two decimals; but INSTRE L3 alone: MiB.

    Source: Table 7. The units are inferred: they are the only ones that fit all sixteen cells.
    """
    if quantised:
        return round(n_bytes / (MIB if (benchmark, level) == ("INSTRE", "L3") else MB), 2)
    return round(1000 * round(n_bytes / GIB, 2), 2) if n_bytes >= GIB else round(n_bytes / MIB, 2)


def from_indexes() -> pd.DataFrame:
    """Table 7 from real faiss indexes beside the published one: ours, the paper's and consistent units.

    Returns:
        DataFrame indexed by (level, benchmark): ``uncompressed``, ``quantised``, ``ratio`` as printed, each followed by
        the published ``paper ...``; ``true MB``, ``true quantised MB`` (10^6 bytes) and ``true ratio``.

    Source: Table 7 (m = 64, nlist = 4096, nbits = 8, D = 1024).
    """
    rows = {}
    for cell in paper.table(NAME).to_dict("records"):
        where, level = cell["benchmark"], cell["level"]
        vectors = IMAGES[where] * PATCHES[level]
        raw = file_size.raw_bytes(vectors, DIM)
        quantised = file_size.serialised_bytes(file_size.filled_index(vectors, DIM))
        shown = {"uncompressed": printed(raw, where, level), "quantised": printed(quantised, where, level, True)}
        rows[level, where] = {
            "uncompressed": shown["uncompressed"],
            "paper uncompressed": cell["uncompressed_MB"],
            "quantised": shown["quantised"],
            "paper quantised": cell["quantized_MB"],
            "ratio": round(shown["uncompressed"] / shown["quantised"], 2),
            "paper ratio": cell["compression_ratio"],
            "true MB": round(raw / MB, 2),
            "true quantised MB": round(quantised / MB, 2),
            "true ratio": round(raw / quantised, 2),
        }
    return pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["level", "benchmark"]))


def agreement(table: pd.DataFrame) -> str:
    """How many of our cells are the published ones, in words; ``table``: of :func:`from_indexes`."""
    equal = {name: (table[name] == table[f"paper {name}"]).sum() for name in ("uncompressed", "quantised", "ratio")}
    sizes = f"{equal['uncompressed'] + equal['quantised']} of {2 * len(table)} sizes"
    return f"{sizes}, {equal['ratio']} of {len(table)} ratios"


def sizes() -> pd.DataFrame:
    """The sizes in bytes, and as printed if MB were 10^6 bytes throughout; ``in its units`` is what fits all."""
    rows = {}
    for cell in paper.table(NAME).to_dict("records"):
        where, level = cell["benchmark"], cell["level"]
        for kind, size in _bytes(IMAGES[where], level).items():
            rows[where, level, kind] = {
                "bytes": size,
                "printed": cell[COLUMNS[kind]],
                "in MB": round(size / MB, 2),
                "in its units": printed(size, where, level, kind == "quantised"),
            }
    table = pd.DataFrame(rows.values(), index=pd.MultiIndex.from_tuples(rows, names=["benchmark", "level", "kind"]))
    return table.assign(agrees=table["printed"] == table["in MB"])


def image_counts(within: int = 50) -> pd.DataFrame:
    """How many images the sizes admit: of all counts near ours, those that give every printed size."""
    rows = {}
    for where, images in IMAGES.items():
        cells = paper.table(NAME).query("benchmark == @where").to_dict("records")
        admitted = [
            count
            for count in range(images - within, images + within + 1)
            if all(
                printed(size, where, cell["level"], kind == "quantised") == cell[COLUMNS[kind]]
                for cell in cells
                for kind, size in _bytes(count, cell["level"]).items()
            )
        ]
        rows[where] = {"ours": images, "admitted": ", ".join(map(str, admitted)), "agrees": admitted == [images]}
    return pd.DataFrame.from_dict(rows, orient="index")


def ratios(of: str) -> pd.DataFrame:
    """The printed compression ratios against those of a column of :func:`sizes`: ``"printed"`` or ``"bytes"``."""
    size = sizes()[of].unstack("kind")
    computed = (size["uncompressed"] / size["quantised"]).round(2)
    shown = paper.table(NAME).set_index(["benchmark", "level"])["compression_ratio"].sort_index()
    return pd.DataFrame({"printed": shown, "computed": computed, "agrees": shown == computed})


def growth() -> pd.DataFrame:
    """What the text says about L3 over L0, against the same in bytes."""
    size = sizes()["bytes"].unstack("level")
    said = paper.numbers(NAME)
    said["kind"] = said["quantity"].str.split().str[0]
    said = said.set_index(["benchmark", "kind"])
    said["in bytes"] = size["L3"] / size["L0"]
    decimals = said["printed"].str.partition(".")[2].str.len()
    off = (said["in bytes"] - said["value"]).abs()
    return said[["printed", "in bytes"]].assign(agrees=off <= 0.5 * 10.0**-decimals)


def beside_global() -> pd.DataFrame:
    """Patches after PQ against the global descriptor before it, in bytes: no larger?"""
    size = sizes()["bytes"].unstack("kind").unstack("benchmark")
    times = (size["quantised"] / size["uncompressed"].loc["L0"]).drop("L0").unstack().to_frame("times global")
    return times.assign(agrees=times["times global"] <= 1)


def square_of_level() -> pd.DataFrame:
    """Uncompressed size over that of L0 (ILIAS, one unit throughout), against the square of the finest grid."""
    size = paper.table(NAME).query("benchmark == 'ILIAS'").set_index("level")["uncompressed_MB"]
    table = pd.DataFrame({"size over L0": (size / size["L0"]).round(2)})
    table["square"] = [side**2 for side in range(1, len(table) + 1)]
    return table.assign(agrees=table["size over L0"] == table["square"]).drop("L0")


def _bytes(images: int, level: str) -> dict[str, int]:
    """Sizes of a benchmark's descriptors and of their index, by kind."""
    vectors = images * PATCHES[level]
    return {"uncompressed": file_size.raw_bytes(vectors, DIM), "quantised": file_size.index_bytes(vectors, DIM)}
