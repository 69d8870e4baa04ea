"""The live page: what it needs beside its own files in ``site/live/``, made from the package alone.

The page ranks precomputed descriptors and describes pictures of one's own by the same encoder, exported to ONNX with
its weights in half precision, which is how they ship. Every file is the page's own: no request leaves its host.
"""

import shutil
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from patchlib import benchmarks, encoders, features, images, plots
from patchlib.benchmarks import Benchmark
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.objects import make_object, render
from patchlib.encoders import onnx_runtime
from patchlib.studies.encoder_study import sample
from patchlib.support import paths, provenance

ENCODER = "cnn-small"
WORLDS: dict[str, dict[str, Any]] = {
    "drawn scenes": {"name": "procedural"},
    "composed of photographs": {"name": "photographs", "series": "composed"},
}
IMAGES, QUERIES = 150, 15  # of each world
HOME = '<p><a href="index.html">Patch-wise Retrieval: a notebook companion</a></p>'
SHOWN, ASKED, SPRITE = 320, 128, 160  # longer sides of pictures, queries and things to drag, in pixels


def build(out: Path, home: bool = False) -> Path:
    """Write the page ``live.html`` and its folder ``live/`` into a folder, 12 MB in all; returns the page.

    ``home``: whether ``index.html`` lies beside the page, which then links to it.
    """
    encoder = encoders.create(ENCODER)
    source = paths.shipped() / "site" / "live"
    shutil.copytree(source, out / "live", dirs_exist_ok=True, ignore=shutil.ignore_patterns("live.html"))
    data = out / "live" / "data"
    with provenance.atomic_write(data / "model.onnx") as file:
        file.write(onnx_runtime.halved(encoders.export(encoder)))
    worlds = {world: _chosen(benchmarks.load(**options)) for world, options in WORLDS.items()}
    described = {world: features.extract(part, "L3", encoder) for world, part in worlds.items()}
    tables: dict[str, list[dict[str, Any]]] = {"images": [], "queries": []}
    for world, part in worlds.items():
        _describe(part, world, tables, data)
    sets = list(described.values())
    rows = [*(part.descriptors for part in sets), *(part.query_descriptors for part in sets)]
    with provenance.atomic_write(data / "descriptors.bin") as file:
        file.write(np.concatenate(rows).astype("<f2").tobytes())
    facts = {"name": ENCODER, "dim": encoder.dim, "side": encoder.input_size}
    provenance.write_json(data / "database.json", {"encoder": facts, **tables})
    page = (source / "live.html").read_text(encoding="utf-8")
    with provenance.atomic_write(out / "live.html", "w") as file:
        file.write(page.replace("<!-- home -->", HOME if home else ""))
    return out / "live.html"


def serve(folder: Path, port: int) -> None:
    """Serve a folder to this machine alone until interrupted; an OSError where the port is taken."""
    with ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        print(f"open http://127.0.0.1:{server.server_port}/live.html; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _chosen(data: Benchmark) -> Benchmark:
    """A sample: queries at even distances, most of the images positives of theirs."""
    rows = np.linspace(0, len(data.queries) - 1, QUERIES).astype(int)
    return sample(data.subset(queries=rows.tolist()), IMAGES)


def _describe(part: Benchmark, world: str, tables: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Add a world's pictures and queries to the tables, and write the files that they name."""
    first = len(tables["images"])
    for row, size in enumerate(part.images[["width", "height"]].to_numpy().tolist()):
        file = f"images/{first + row:03d}.jpg"
        _save(images.read(part.image_path(row)), out / file, SHOWN)
        tables["images"].append({"file": file, "width": size[0], "height": size[1], "world": world})
    for row in range(len(part.queries)):
        number = len(tables["queries"])
        picture, (owners, boxes) = plots.read_query(part, row), part.relevant(row)
        positives = [[first + int(owner), box] for owner, box in zip(owners, boxes.round(1).tolist(), strict=True)]
        names = {"file": f"queries/{number:02d}.jpg", "sprite": f"queries/{number:02d}.png"}
        _save(picture, out / names["file"], ASKED)
        _sprite(part, row, picture).save(out / names["sprite"], optimize=True)
        tables["queries"].append({**names, "world": world, "positives": positives})


def _sprite(part: Benchmark, row: int, picture: Image.Image) -> Image.Image:
    """The object of a query without its surroundings: drawn anew, or cut from the white it was photographed on."""
    if part.name == "procedural":
        instance = int(str(part.queries["query_id"].iloc[row]).partition("/")[0].rpartition("_")[2])
        return render(make_object(*ProceduralConfig().objects()[instance]), side=float(SPRITE))
    small = ImageOps.contain(picture.convert("RGB"), (SPRITE, SPRITE))
    padded = ImageOps.expand(small, 1, "white")
    ImageDraw.floodfill(padded, (0, 0), (255, 0, 255), thresh=40)
    solid = (np.asarray(padded) != (255, 0, 255)).any(axis=2)
    cut = Image.fromarray(np.dstack([np.asarray(padded), 255 * solid.astype(np.uint8)]))
    return cut.crop(cut.getchannel("A").getbbox())


def _save(picture: Image.Image, path: Path, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS).save(path, quality=74, optimize=True)
