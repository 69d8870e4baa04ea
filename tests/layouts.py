"""INSTRE, ILIAS and R-Oxford in miniature, as published, quirks included; features with wished-for scores."""

import io
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet

SIZE = (40, 30)
# path -> lines of the .txt beside it, "x y width height"
INSTRE = {
    "INSTRE-S1/01a_book/001.jpg": "5 5 20 20",
    "INSTRE-S1/01a_book/002.jpg": "10 10 20 20",
    "INSTRE-S1/01a_book/003.jpg": "0 0 40 30",
    "INSTRE-S1/01b_cup/001.jpg": "1 2 3 4",
    "INSTRE-S1/01b_cup/002.jpg": "10 5 20 20",
    "INSTRE-S2/01_fish/001.jpg": "2 2 10 10",
    "INSTRE-S2/01_fish/002.jpg": "0 0 10 10\n20 10 10 20",
    "INSTRE-M/01/001.jpg": "0 0 10 10\n20 20 10 10",
    "INSTRE-M/01/002.jpg": "0 0 10 10\n30 20 10 10",
    "INSTRE-M/01/003.jpg": "4 4 8 8\n20 10 10 10",
}
INSTRE_QUERIES = [path for path in INSTRE if path.endswith("001.jpg")]
INSTRE_DATABASE = [path for path in INSTRE if not path.endswith("001.jpg")]
# (positives as indices from 1 into the database, box x1 y1 x2 y2)
INSTRE_TRUTH = [
    ([1, 2, 5, 6], [5, 5, 25, 25]),
    ([3, 5, 6], [1, 2, 4, 6]),
    ([4], [2, 2, 12, 12]),
    ([5, 6], [0, 0, 30, 30]),
]


def picture(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)


def cells(values: Sequence[object]) -> np.ndarray:
    """A MATLAB cell row."""
    row = np.empty((1, len(values)), object)
    row[0] = list(values)
    return row


def write_instre(
    root: Path, truth: Sequence[tuple[list[int], list[float]]] = INSTRE_TRUTH, struct: bool = True, more: int = 0
) -> Path:
    """The images with their box files, and ``gnd_instre.mat`` (``gnd`` a struct array, or a cell of cells).

    ``more`` images are no query's positive.
    """
    wrong = [f"INSTRE-S2/99_other/{number:03d}.jpg" for number in range(2, 2 + more)]
    for seed, path in enumerate(wrong):
        picture(root / path, seed=1000 + seed)
    for seed, (path, lines) in enumerate(INSTRE.items()):
        picture(root / path, seed=seed)
        (root / path).with_suffix(".txt").write_text(lines + "\n")
    gnd: np.ndarray
    if struct:
        gnd = np.empty((1, len(truth)), [("ok", object), ("bbx", object)])
        for i, (positives, box) in enumerate(truth):
            gnd[0, i] = (np.array([positives], np.uint16), np.array([box], np.float64))
    else:
        gnd = cells([cells([np.array([positives]), np.array([box])]) for positives, box in truth])
    savemat(
        root / "gnd_instre.mat",
        {"imlist": cells([*INSTRE_DATABASE, *wrong]), "qimlist": cells(INSTRE_QUERIES), "gnd": gnd},
    )
    return root


# object -> {file below the object's folder: box lines}
ILIAS = {
    "bold_bimp_000": {
        "query/Q000_00.jpg": "2 2 30 20",
        "pos/P000_00.jpg": "0 0 20 15",
        "pos/P000_01.jpg": "0 0 10 10\n20 10 20 20",
    },
    "zippy_caf\u00e9_001": {
        "query/Q001_00.jpg": "0 0 40 30",
        "query/Q001_01.jpg": "5 5 5 5\n20 10 10 10",
        "pos/P001_00.jpg": "10 10 10 10",
    },
}
POSITIVE_IDS = """\
bold_bimp_000/pos/P000_00.jpg,0.25,18
bold_bimp_000/pos/P000_01.jpg,0.06880213760855043,0
zippy_caf#U00e9_001/pos/P001_00.jpg,0.05,60
"""


def write_ilias(root: Path, lists: bool = True, more: int = 0) -> Path:
    """The core's folders, and the lists of identifiers; ``more`` further positives of the first object."""
    seed = 0
    for number in range(2, 2 + more):
        path = root / f"ilias_core/bold_bimp_000/pos/P000_{number:02d}.jpg"
        picture(path, seed=1000 + number)
        path.with_name(f"{path.stem}_bbox.txt").write_text("5 5 20 20")
    for name, files in ILIAS.items():
        for file, lines in files.items():
            path = root / "ilias_core" / name / file
            picture(path, seed=(seed := seed + 1))
            path.with_name(f"{path.stem}_bbox.txt").write_text(lines)
        number = name[-3:]
        (root / "ilias_core" / name / "query" / f"T{number}.txt").write_text("a thing")
    (root / "ilias_core/bold_bimp_000/pos/P000_00_url.txt").write_text("http://example.org")
    if lists:
        ids = root / "image_ids"
        ids.mkdir(parents=True)
        (ids / "positive_ids.txt").write_text(POSITIVE_IDS)
        queries = ["bold_bimp_000/query/Q000_00.jpg", "zippy_caf#U00e9_001/query/Q001_00.jpg"]
        queries.append("zippy_caf#U00e9_001/query/Q001_01.jpg")
        (ids / "image_query_ids.txt").write_text("".join(f"{name},first\n" for name in reversed(queries)))
        (ids / "text_query_ids.txt").write_text("bold_bimp_000/query/T000.txt\nzippy_caf#U00e9_001/query/T001.txt\n")
    return root


# R-Oxford: six database images; of two queries the box and the images by label, as numbers from 0
REVISITED = ["all_souls_1", "all_souls_2", "bodleian_1", "all_souls_3", "christ_church_1", "bodleian_2"]
REVISITED_TRUTH: dict[str, dict[str, list[float]]] = {
    "all_souls_0": {"bbx": [5.0, 5.5, 25.0, 25.0], "easy": [3], "hard": [0], "junk": [1]},
    "bodleian_0": {"bbx": [0, 0, 40, 30], "easy": [2, 5], "hard": [], "junk": []},
}


def write_revisited(root: Path, protocol: int = 2, arrays: bool = False) -> Path:
    """Images of R-Oxford, one in a folder of its own, and the pickle of lists or of arrays."""
    for seed, name in enumerate([*REVISITED, *REVISITED_TRUTH]):
        picture(root / "jpg" / ("all_souls" if seed == 0 else "") / f"{name}.jpg", seed=seed)
    kind = np.asarray if arrays else list
    gnd = [{key: kind(values) for key, values in row.items()} for row in REVISITED_TRUTH.values()]
    content = {"imlist": kind(REVISITED), "qimlist": kind(list(REVISITED_TRUTH)), "gnd": gnd}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content, protocol))
    return root


def write_shard(path: Path, members: Mapping[str, tuple[int, int]]) -> Path:
    """A tar shard of pictures, with a text beside each as webdataset has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for seed, (name, size) in enumerate(members.items()):
            buffer = io.BytesIO()
            noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).resize(size).save(buffer, "JPEG")
            for file, content in ((name, buffer.getvalue()), (f"{name.split('.')[0]}.txt", b"caption")):
                info = tarfile.TarInfo(file)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def features_with(
    benchmark: Benchmark, regions: Mapping[str, Sequence[Sequence[float]]], scores: Mapping[tuple[str, str, int], float]
) -> FeatureSet:
    """Unit descriptors whose products are the wished-for scores.

    Args:
        benchmark: its images in order.
        regions: boxes by image id; absent = the whole image.
        scores: (query id, image id, region) -> score; absent = 0.
    """
    queries = benchmark.queries["query_id"].tolist()
    boxes, owners = [], []
    for image_id, width, height in benchmark.images[["image_id", "width", "height"]].itertuples(index=False):
        for number, box in enumerate(regions.get(image_id, [(0, 0, width, height)])):
            boxes.append(box)
            owners.append((image_id, number))
    rows = np.zeros((len(boxes), len(queries) + len(boxes)), np.float32)
    for row, owner in enumerate(owners):
        rows[row, : len(queries)] = [scores.get((query, *owner), 0.0) for query in queries]
        rows[row, len(queries) + row] = np.sqrt(1 - np.square(rows[row]).sum())
    counts = [sum(owner == image_id for owner, _ in owners) for image_id in benchmark.images["image_id"]]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    basis = np.eye(len(queries), rows.shape[1], dtype=np.float32)
    return FeatureSet(rows, np.array(boxes, np.float32), offsets, basis, {"hash": "00000000"})
