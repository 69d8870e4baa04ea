"""From a server to numbers in the published layouts: fetch, load, extract, search, evaluate; with values by hand.

Pictures are made of quadrants in plain colours and the encoder is the mean colour, so each score is known: at level L1
a quadrant is a patch. All files are lossless, whatever their names say, so equal colours tie exactly.
"""

import io
import tarfile

import builders
import layouts
import numpy as np
import pytest
import servers
from PIL import Image
from scipy.io import savemat

from patchlib import features, metrics, search
from patchlib.benchmarks import load
from patchlib.download import store
from patchlib.download.manifest import Entry, File, Listing
from patchlib.support.provenance import sha256_file

RED, BLUE, ORANGE, GREEN = (255, 0, 0), (0, 0, 255), (255, 120, 0), (0, 255, 0)
SIDE = 32  # of a quadrant
FACTS = {"kind": "benchmark", "title": "t", "home": "h", "licence": "l", "citation": "@misc{t}", "verified": "-"}


def quadrants(*colours):
    """A picture of four quadrants, row by row, as bytes."""
    picture = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for i, colour in enumerate(colours):
        picture.paste(colour, (i % 2 * SIDE, i // 2 * SIDE, (i % 2 + 1) * SIDE, (i // 2 + 1) * SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def tarred(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def get(entry, data):
    store.get(entry, data, store.FetchOptions())


def evaluate(benchmark, level, tmp_path, k=None):
    encoder = builders.encoder_of(builders.mean_colour, 3)
    described = features.extract(benchmark, level, encoder, tmp_path / "features", workers=1)
    ranking = search.rank(described.query_descriptors, described)
    return metrics.evaluate(ranking, benchmark, described, k).set_index("query_id")


def test_instre(tmp_path):
    pictures = {
        "INSTRE-S1/01a_thing/001.jpg": (quadrants(RED, BLUE, BLUE, BLUE), "0 0 32 32"),
        "INSTRE-S2/01_other/002.jpg": (quadrants(RED, RED, RED, RED), "0 0 64 64"),
        "INSTRE-S1/01a_thing/002.jpg": (quadrants(BLUE, BLUE, RED, BLUE), "0 32 32 32"),
        "INSTRE-S1/01a_thing/003.jpg": (quadrants(RED, BLUE, RED, BLUE), "0 0 32 64"),
        "INSTRE-M/01/001.jpg": (quadrants(GREEN, BLUE, BLUE, RED), "32 32 32 32\n0 0 32 32"),
        "INSTRE-S2/01_other/003.jpg": (quadrants(BLUE, BLUE, BLUE, GREEN), "0 0 9 9"),
    }
    content = {path: picture for path, (picture, _) in pictures.items()}
    content |= {path.replace(".jpg", ".txt"): lines.encode() for path, (_, lines) in pictures.items()}
    query, *database = pictures
    truth = np.empty((1, 1), [("ok", object), ("bbx", object)])
    truth[0, 0] = (np.array([[2, 3, 4]]), np.array([[0, 0, 32, 32]]))
    (tmp_path / "ftp").mkdir()
    savemat(
        tmp_path / "ftp/gnd_instre.mat",
        {"imlist": layouts.cells(database), "qimlist": layouts.cells([query]), "gnd": truth},
    )
    (tmp_path / "ftp/instre.tar.gz").write_bytes(tarred(content))
    with servers.serve_ftp(tmp_path / "ftp") as ftp:
        ftp.cuts = [100]
        files = (
            File(name="instre.tar.gz", urls=(f"{ftp.url}/instre.tar.gz",), unpack="tar"),
            File(name="gnd_instre.mat", urls=(f"{ftp.url}/gnd_instre.mat",)),
        )
        get(Entry(name="instre", folder="instre", files=files, layout="instre", **FACTS), tmp_path / "data")
    benchmark = load("instre", tmp_path / "data/instre")
    row = evaluate(benchmark, "L1", tmp_path).loc[query]
    # five red patches tie, so the order is the database's: an image that is all red, then the three positives
    precision = np.array([1 / 2, 2 / 3, 3 / 4])
    # the winning patch is the red quadrant: the box itself, half of the box, and the object of line one
    iou = np.array([1, 1 / 2, 1])
    assert row["ap"] == pytest.approx(precision.sum() / 3)
    assert row["loc_score"] == pytest.approx((precision * iou).sum() / 3)
    assert row["mloc_score"] == pytest.approx(precision.sum() / 3)  # IoU 1/2 reaches all three thresholds
    # with the whole image as the only region: 003 is half red, M a quarter beside two colours, 002 a quarter beside one
    whole = evaluate(benchmark, "L0", tmp_path).loc[query]
    assert whole["ap"] == pytest.approx(precision.sum() / 3)
    assert whole["loc_score"] == pytest.approx((precision * np.array([1 / 2, 1 / 4, 1 / 4])).sum() / 3)


def test_ilias_with_a_shard(tmp_path):
    core = {
        "ilias_core/a_thing_000/query/Q000_00.jpg": quadrants(RED, RED, RED, RED),
        "ilias_core/a_thing_000/query/Q000_00_bbox.txt": b"0 0 64 64\n",
        "ilias_core/a_thing_000/query/T000.txt": b"a thing",
        "ilias_core/a_thing_000/pos/P000_00.jpg": quadrants(BLUE, ORANGE, BLUE, BLUE),
        "ilias_core/a_thing_000/pos/P000_00_bbox.txt": b"0 0 8 8\n32 0 32 16\n",
        "ilias_core/a_thing_000/pos/P000_01.jpg": quadrants(RED, BLUE, BLUE, BLUE),
        "ilias_core/a_thing_000/pos/P000_01_bbox.txt": b"0 0 32 32\n",
    }
    shard = {"one.jpg": quadrants(BLUE, BLUE, RED, BLUE), "two.jpg": quadrants(GREEN, GREEN, GREEN, GREEN)}
    names = {"/d/ilias_core.tar": tarred(core, "w"), "/d/yfcc100m/yfcc100m_0.tar": tarred(shard, "w")}
    with servers.serve_http() as web:
        lines = []
        for path, content in names.items():
            web.files[path] = content
            (tmp_path / "t").write_bytes(content)
            lines.append(f"{sha256_file(tmp_path / 't')}  {web.url}{path}\n")
        web.files["/d/checksums.txt"] = "".join(lines).encode()
        web.script["/d/ilias_core.tar"] = [servers.cut(3000)]
        common = {"format": "checksums", "url": f"{web.url}/d/checksums.txt"}
        for name, listing in (
            ("core", Listing(match="ilias_core.tar", unpack="tar", **common)),
            ("shards", Listing(match="*yfcc*", folder="yfcc100m", **common)),
        ):
            get(Entry(name=name, folder="ilias", listing=listing, **FACTS), tmp_path / "data")
    benchmark = load("ilias", tmp_path / "data/ilias", distractors="full")
    assert len(benchmark.images) == 4
    row = evaluate(benchmark, "L1", tmp_path, k=1000).loc["a_thing_000/query/Q000_00.jpg"]
    # 1: P000_01 (ties with the distractor, and stands before it), 2: the distractor, 3: P000_00, nearly red
    assert row["ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    # P000_00: the winning quadrant against the better of two boxes, its upper half
    assert row["loc_score"] == pytest.approx((1 / 1 * 1 + 2 / 3 * 1 / 2) / 2)
