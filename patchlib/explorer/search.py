"""Search one's own photographs: ``python -m patchlib search QUERY FOLDER``.

The folder is described once, into the cache; from then on neither torch nor a plotting library is imported, so that an
answer takes about a second.
"""

import base64
import html
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from patchlib import encoders, features, images, search
from patchlib.benchmarks import album
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.features import FeatureSet
from patchlib.support import provenance

PICTURE = 480  # longer side in the page, pixels
TEMPLATE = Path(__file__).with_name("result.html")


class Found(NamedTuple):
    """An image of the answer: its score, its path in the folder, its winning patch by name and as xyxy, its size."""

    score: float
    image: str
    patch: str
    box: tuple[int, ...]
    size: tuple[int, int]


class Answer(NamedTuple):
    """The best images for a query, and the photographs that could not be read."""

    found: list[Found]
    total: int
    left_out: list[str]


def run(query: Path, folder: Path, level: str, encoder: str, top: int) -> Answer:
    """Search a folder of photographs for what a picture shows.

    Args:
        query: an image file, described as a whole; where it lies in the folder itself, it is no answer.
        folder: photographs, in sub-folders or not. Those that cannot be read are left out.
        level: regions of each photograph, as :func:`patchlib.regions.parse` reads them.
        top: how many images to return, at most.

    Raises:
        FileNotFoundError, ValueError: the folder is missing or holds no photograph; the query cannot be read; an
            unknown level or encoder; ``top`` < 1.
    """
    if top < 1:
        raise ValueError(f"top is {top}, expected a number of images >= 1")
    data, picture = album.load(folder), images.read(query)
    network = encoders.create(encoder)
    patches = features.extract(data, level, network, skip_bad=True)
    ranking = search.rank(_described(picture, network)[None], patches)
    answers = zip(ranking.images[0].tolist(), ranking.scores[0].tolist(), ranking.regions[0].tolist(), strict=True)
    readable = [_found(data, patches, *answer) for answer in answers if answer[2] >= 0]
    others = [one for one in readable if not os.path.samefile(folder / one.image, query)]
    left_out = dict.fromkeys([*data.meta["skipped"], *patches.meta["bad_images"]])
    return Answer(others[:top], len(readable), list(left_out))


def _described(picture: Image.Image, encoder: Encoder) -> np.ndarray:
    """(D,) descriptor of a whole picture; Pillow's resize is torch's but for rounding."""
    side, how = encoder.input_size, Image.Resampling[encoder.interpolation.upper()]
    return encoder.encode(np.asarray(picture.resize((side, side), how))[None])[0]


def _found(data: Benchmark, patches: FeatureSet, image: int, score: float, region: int) -> Found:
    box = tuple(patches.boxes[region].astype(int).tolist())
    row = data.images.iloc[image]
    return Found(score, row["image_id"], place(box, row["width"], row["height"]), box, (row["width"], row["height"]))


def place(box: tuple[int, ...], width: int, height: int) -> str:
    """Where a region (xyxy) lies: its share of the image and the ninth its middle is in, e.g. ``"1/9, top left"``."""
    share = width * height / ((box[2] - box[0]) * (box[3] - box[1]))
    if share < 1.01:
        return "whole image"
    across, down = ((box[side] + box[side + 2]) / (2 * length) for side, length in ((0, width), (1, height)))
    row, column = ("top", "middle", "bottom")[int(3 * down)], ("left", "centre", "right")[int(3 * across)]
    return f"1/{share:.0f}, {row} {column}"


def table(answer: Answer) -> Iterator[str]:
    """Lines of the answer for a terminal."""
    width = max(len(found.image) for found in answer.found)
    yield f"rank  score  {'image':<{width}}  {'winning patch':<19}  box in pixels"
    for rank, one in enumerate(answer.found, 1):
        yield f"{rank:>4}  {one.score:.3f}  {one.image:<{width}}  {one.patch:<19}  {' '.join(map(str, one.box))}"


def write_page(answer: Answer, query: Path, folder: Path, said: str, out: Path) -> None:
    """Write the answer as one HTML file that holds its pictures."""
    cards = []
    for rank, one in enumerate(answer.found, 1):
        x0, y0, x1, y1 = one.box
        width, height = one.size
        frame = (
            f"left:{x0 / width:.2%};top:{y0 / height:.2%};width:{(x1 - x0) / width:.2%};height:{(y1 - y0) / height:.2%}"
        )
        name = html.escape(one.image)
        cards.append(
            f'<figure><div><img src="{_picture(folder / one.image)}" alt="{name}"><i style="{frame}"></i></div>'
            f"<figcaption><b>{rank}</b> · {one.score:.3f} · {one.patch}<br>{name}</figcaption></figure>"
        )
    filled = {"title": html.escape(query.name), "said": html.escape(said), "query": _picture(query)}
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, value in (filled | {"cards": "\n".join(cards)}).items():
        text = text.replace(f"<!-- {key} -->", value)
    with provenance.atomic_write(out, "w") as file:
        file.write(text)


def _picture(path: Path) -> str:
    """A small copy of a photograph as a data URL."""
    small = ImageOps.contain(images.read(path), (PICTURE, PICTURE), Image.Resampling.LANCZOS)
    small.save(content := io.BytesIO(), "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
