"""Rooms, shelves, streets and gardens of the procedural benchmark, still empty.

A surface is a grey material, tinted. A painter (rng, width, height) of :data:`PLACES` returns the picture and the
heights (pixels) that things stand on: none, a horizon, or boards.
"""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from patchlib.benchmarks.procedural.canvas import Placed, paste
from patchlib.benchmarks.procedural.patterns import Colour, Draw, Rng, hsv, pattern, stream

FORMATS = ((384, 288), (336, 336), (288, 384))  # landscape, square, portrait: pixels
_MATERIAL = 7  # first key of the materials' streams
_SIZE = 448  # pixels of a material's side
Place = tuple[Image.Image, list[int]]


def noise(rng: Rng, width: int, height: int, cells: Sequence[tuple[int, int]]) -> Image.Image:
    """Grey cloud noise: random grids of the given (columns, rows), enlarged and averaged, coarse ones weighing most."""
    image = Image.new("L", (width, height), 128)
    for k, (columns, rows) in enumerate(cells):
        grid = Image.fromarray(rng.integers(0, 256, (rows, columns), dtype=np.uint8))
        layer = grid.resize((width, height), Image.Resampling.BICUBIC)
        image = Image.blend(image, layer, 1.0 if k == 0 else 0.4)
    return image


def _planks(rng: Rng, draw: Draw) -> None:
    step = int(rng.integers(40, 110))
    for x in range(0, _SIZE, step):
        draw.line([(x, 0), (x, _SIZE)], fill=20, width=2)
        joint = int(rng.integers(_SIZE))
        draw.line([(x, joint), (x + step, joint)], fill=30, width=2)


def _bricks(rng: Rng, draw: Draw) -> None:
    high, wide = int(rng.integers(16, 40)), int(rng.integers(40, 90))
    for row, y in enumerate(range(0, _SIZE, high)):
        draw.line([(0, y), (_SIZE, y)], fill=225, width=3)
        for x in range((row % 2) * wide // 2, _SIZE, wide):
            draw.line([(x, y), (x, y + high)], fill=225, width=3)


def _tiles(rng: Rng, draw: Draw) -> None:
    step, joint = int(rng.integers(36, 90)), int(rng.choice((30, 230)))
    for v in range(0, _SIZE, step):
        draw.line([(0, v), (_SIZE, v)], fill=joint, width=3)
        draw.line([(v, 0), (v, _SIZE)], fill=joint, width=3)


def _blades(rng: Rng, draw: Draw) -> None:
    x, y = rng.integers(0, _SIZE, (2, 5000))
    lean, tall, grey = rng.integers(-5, 6, 5000), rng.integers(4, 14, 5000), rng.integers(30, 235, 5000)
    for x0, y0, x1, y1, fill in np.stack([x, y, x + lean, y - tall, grey], axis=1).tolist():
        draw.line([(x0, y0), (x1, y1)], fill=fill, width=1)


def _leaves(rng: Rng, draw: Draw) -> None:
    for x, y, r, grey in rng.integers((0, 0, 5, 10), (_SIZE, _SIZE, 20, 230), (1400, 4)).tolist():
        draw.ellipse([x - r, y - r // 2, x + r, y + r // 2 + 2], fill=grey)


MATERIALS = {
    "wood": ([(60, 4), (110, 14)], _planks),
    "brick": ([(30, 60), (140, 140)], _bricks),
    "tile": ([(10, 10), (90, 90)], _tiles),
    "grass": ([(12, 12)], _blades),
    "hedge": ([(14, 14)], _leaves),
    "plaster": ([(5, 5), (150, 150)], None),
    "asphalt": ([(224, 224), (9, 9)], None),
    "cloth": ([(224, 12), (12, 224)], None),
    "paper": ([(3, 3)], None),
}


@functools.cache
def _material(name: str, variant: int) -> Image.Image:
    cells, detail = MATERIALS[name]
    rng = stream(_MATERIAL, list(MATERIALS).index(name), variant)
    image = noise(rng, _SIZE, _SIZE, cells)
    if detail is not None:
        detail(rng, ImageDraw.Draw(image))
    return image


def tinted(grey: Image.Image, colour: Colour, contrast: float) -> Image.Image:
    """Grey texture in shades of a colour: mid grey becomes the colour, the ends `contrast` (0..1) away from it."""
    gains = [1 + contrast * (v - 128) / 128 for v in range(256)]
    return Image.merge("RGB", [grey.point([min(255, round(c * g)) for g in gains]) for c in colour])


def surface(rng: Rng, names: Sequence[str], width: int, height: int, colour: Colour) -> Image.Image:
    """A piece of wall of the given size in one of the materials, seen straight on."""
    grey = _material(names[int(rng.integers(len(names)))], int(rng.integers(4)))
    zoom = rng.uniform(0.5, 1.0)
    span = (max(8, round(width * zoom)), max(8, round(height * zoom)))
    x, y = (int(rng.integers(max(1, _SIZE - s))) for s in span)
    box = (x, y, min(_SIZE, x + span[0]), min(_SIZE, y + span[1]))
    seen = grey.resize((width, height), Image.Resampling.BILINEAR, box)
    return tinted(seen, colour, rng.uniform(0.15, 0.55))


def floor(image: Image.Image, horizon: int, rng: Rng, names: Sequence[str], colour: Colour) -> None:
    """Lays a ground in one of the materials below the horizon (pixels from the top), in perspective."""
    width, height = image.width, image.height - horizon
    grey = _material(names[int(rng.integers(len(names)))], int(rng.integers(4)))
    near = rng.uniform(1.8, 2.6)  # how much larger the near edge is seen
    h = round((near - 1) / height, 7)
    onto = (round(_SIZE / width, 7), round(_SIZE / 2 * h, 7), 0.0, 0.0, round(_SIZE / height * near, 7), 0.0, 0.0, h)
    method, filtered = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
    seen = grey.transform((width, height), method, onto, filtered, fillcolor=128)
    image.paste(tinted(seen, colour, rng.uniform(0.2, 0.6)), (0, horizon))


def _muted(rng: Rng, low: float = 0.35, high: float = 0.95) -> Colour:
    return hsv(rng.random(), rng.uniform(0.02, 0.4) * rng.uniform(0.3, 1.3), rng.uniform(low, high))


def _wood(rng: Rng) -> Colour:
    return hsv(rng.uniform(0.04, 0.11), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.9))


def _darker(colour: Colour) -> Colour:
    return colour[0] * 3 // 4, colour[1] * 3 // 4, colour[2] * 3 // 4


def _wall(rng: Rng, width: int, height: int) -> Image.Image:
    image = surface(rng, ("plaster", "plaster", "paper", "brick", "tile", "wood"), width, height, _muted(rng))
    if rng.random() < 0.25:
        paper, colour = Image.new("RGB", (width, height), _muted(rng, 0.6)), _muted(rng, 0.4)
        pattern(ImageDraw.Draw(paper), rng, (0, 0, width, height), colour, _muted(rng))
        image = Image.blend(image, paper, 0.6)
    return image


def _window(rng: Rng, image: Image.Image, horizon: int) -> None:
    """A window or a picture on the wall above the horizon."""
    wide, high = int(rng.integers(60, 130)), int(rng.integers(50, 120))
    x, y = int(rng.integers(-20, image.width - 30)), int(rng.integers(-30, max(-29, horizon - high + 20)))
    clouds = noise(rng, wide, high, [(4, 4), (12, 12)])
    picture = tinted(clouds, hsv(rng.uniform(0.45, 0.7), rng.uniform(0.1, 0.5), rng.uniform(0.7, 1)), 0.25)
    image.paste(picture, (x, y))
    draw, frame = ImageDraw.Draw(image), _muted(rng, 0.2)
    draw.rectangle([x, y, x + wide, y + high], outline=frame, width=5)
    if rng.random() < 0.6:
        draw.line([(x + wide // 2, y), (x + wide // 2, y + high)], fill=frame, width=4)


def _table(rng: Rng, width: int, height: int) -> Place:
    horizon = int(height * rng.uniform(0.28, 0.55))
    image = Image.new("RGB", (width, height))
    image.paste(_wall(rng, width, horizon))
    if rng.random() < 0.5:
        _window(rng, image, horizon)
    colour = _wood(rng) if rng.random() < 0.6 else _muted(rng)
    floor(image, horizon, rng, ("wood", "wood", "cloth", "plaster", "tile"), colour)
    edge = tuple(v // 2 for v in colour)
    ImageDraw.Draw(image).line([(0, horizon), (width, horizon)], fill=edge, width=int(rng.integers(1, 5)))
    return image, [horizon]


def _shelf(rng: Rng, width: int, height: int) -> Place:
    image, wood = _wall(rng, width, height), _wood(rng) if rng.random() < 0.7 else _muted(rng)
    count, thick = int(rng.integers(2, 5)), int(rng.integers(6, 13))
    first = rng.uniform(0.5, 1.0)
    boards = [int(height * (k + first) / count) for k in range(count)]
    draw = ImageDraw.Draw(image, "RGBA")
    for y in boards:
        plank = surface(rng, ("wood",), width, thick, wood)
        draw.rectangle([0, y - 2, width, y + 2 * thick], fill=(0, 0, 0, 60))
        image.paste(plank, (0, y))
        draw.line([(0, y), (width, y)], fill=(255, 255, 255, 70), width=2)
    for x in (int(rng.integers(-30, width // 4)), int(rng.integers(3 * width // 4, width + 30))):
        draw.rectangle([x, 0, x + thick, height], fill=(*_darker(wood), 255))
    return image, boards


def _sky(rng: Rng, width: int, height: int) -> Image.Image:
    blue, white = hsv(rng.uniform(0.53, 0.64), rng.uniform(0.1, 0.6), rng.uniform(0.7, 1)), (245, 245, 246)
    image = Image.new("RGB", (width, height), blue)
    clouds = noise(rng, width, height, [(5, 3), (11, 7), (30, 20)])
    image.paste(white, (0, 0), clouds.point([min(255, max(0, (v - 110) * 3)) for v in range(256)]))
    return image


def _street(rng: Rng, width: int, height: int) -> Place:
    horizon = int(height * rng.uniform(0.5, 0.72))
    image = _sky(rng, width, height)
    draw, x = ImageDraw.Draw(image), int(rng.integers(-60, 0))
    while x < width:
        wide, top = int(rng.integers(70, 180)), int(height * rng.uniform(-0.1, 0.3))
        front = surface(rng, ("brick", "plaster", "plaster", "tile"), wide, horizon - top, _muted(rng, 0.4))
        image.paste(front, (x, top))
        step = int(rng.integers(30, 48))
        glass = hsv(rng.uniform(0.5, 0.65), rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.8))
        for wy in range(top + 12, horizon - 20, step):
            for wx in range(x + 10, x + wide - 20, step):
                pane = [wx, wy, wx + step // 2, wy + step * 2 // 3]
                draw.rectangle(pane, fill=glass, outline=(225, 225, 222), width=2)
        x += wide
    floor(image, horizon, rng, ("asphalt", "asphalt", "tile", "brick"), _muted(rng, 0.3, 0.7))
    draw.rectangle([0, horizon - 1, width, horizon + 3], fill=(120, 118, 114))
    return image, [horizon]


def _garden(rng: Rng, width: int, height: int) -> Place:
    horizon = int(height * rng.uniform(0.3, 0.55))
    image = _sky(rng, width, height)
    green = hsv(rng.uniform(0.2, 0.36), rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.75))
    shrub = surface(rng, ("hedge",), width, height, _darker(green))
    shape = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(shape)
    for _ in range(int(rng.integers(4, 12))):
        cx, radius = rng.uniform(0, width), rng.uniform(20, 90)
        draw.ellipse([round(cx - radius), round(horizon - radius * 0.9), round(cx + radius), horizon + 40], fill=255)
    image.paste(shrub, (0, 0), shape)
    ground = ("grass", "grass", "grass", "asphalt") if rng.random() < 0.8 else ("asphalt", "tile")
    floor(image, horizon, rng, ground, green if rng.random() < 0.8 else _wood(rng))
    return image, [horizon]


def _desk(rng: Rng, width: int, height: int) -> Place:
    """Seen from above: a surface with sheets of paper and pens."""
    colour = _wood(rng) if rng.random() < 0.5 else _muted(rng)
    image = surface(rng, ("wood", "wood", "cloth", "plaster", "tile", "grass"), width, height, colour)
    for _ in range(int(rng.integers(0, 4))):
        wide, high = int(rng.integers(50, 170)), int(rng.integers(60, 190))
        sheet = surface(rng, ("paper", "cloth"), wide, high, _muted(rng, 0.6, 1)).convert("RGBA")
        draw = ImageDraw.Draw(sheet)
        for y in range(14, high - 12, 10):
            draw.line([(10, y), (int(rng.integers(wide // 2, wide)) - 10, y)], fill=(90, 90, 96), width=2)
        turned = sheet.rotate(int(rng.integers(-60, 60)), Image.Resampling.BILINEAR, expand=True)
        paste(image, Placed(turned, int(rng.integers(-60, width)), int(rng.integers(-60, height))), (3, 4))
    return image, []


def _poster_wall(rng: Rng, width: int, height: int) -> Place:
    image = _wall(rng, width, height)
    if rng.random() < 0.5:
        _window(rng, image, height)
    return image, []


PLACES = {
    "table": _table, "shelf": _shelf, "street": _street, "garden": _garden, "desk": _desk, "wall": _poster_wall,
}  # fmt: skip
