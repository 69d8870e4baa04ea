"""Views of procedural objects: clean queries and scenes with exact boxes.

A scene is painted from back to front. Each of its parts draws from a stream of its own, so that one part can be changed
(the object's size, say) while all the others stay as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from patchlib.benchmarks.procedural.camera import paste, photograph
from patchlib.benchmarks.procedural.canvas import Canvas, Scene
from patchlib.benchmarks.procedural.config import BLOCK, ProceduralConfig, design
from patchlib.benchmarks.procedural.objects import make_object, render
from patchlib.benchmarks.procedural.patterns import stream
from patchlib.benchmarks.procedural.places import FORMATS, PLACES, place

QUERY_SIDE = 224  # pixels
CLUTTER_POOL = 240  # different objects that furnish the scenes of one benchmark; never an instance
MAX_DISTANCE = 0.5  # largest centre distance of the position-controlled set, in half diagonals
_QUERY, _SCENE = 11, 12  # first keys of the streams


def _pose(rng: np.random.Generator, strength: float, lying: bool) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees; what lies on a desk may be turned any way, what stands hardly rolls."""
    spread = 75.0 if lying else (50.0 if rng.random() < 0.3 else 12.0)
    yaw, pitch, roll = rng.uniform(-40, 40), rng.uniform(-4, 32), rng.uniform(-1, 1) * spread
    return yaw * strength, pitch * strength, roll * strength


def _fitted(sprite: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(1.0, 0.985 * width / sprite.width, 0.985 * height / sprite.height)
    if scale == 1.0:
        return sprite
    size = (max(4, int(sprite.width * scale)), max(4, int(sprite.height * scale)))
    return sprite.resize(size, Image.Resampling.BILINEAR)


def _centre(
    rng: np.random.Generator, room: tuple[float, float], distance: float | None, share: float
) -> tuple[float, float]:
    """Offset of the box centre from the image's, pixels: `distance` pixels away, or `share` of what the room allows."""
    turn, sides = rng.random(), rng.integers(0, 2, 2) * 2 - 1
    away = min(share * math.hypot(*room) if distance is None else distance, math.hypot(*room) * 0.999)
    first = math.acos(min(1.0, room[0] / away)) if away > 0 else 0.0
    last = math.asin(min(1.0, room[1] / away)) if away > 0 else 0.0
    angle = first + turn * max(0.0, last - first)
    return away * math.cos(angle) * int(sides[0]), away * math.sin(angle) * int(sides[1])


def make_scene(
    config: ProceduralConfig,
    instance: int | None,
    view: int,
    *,
    area: float | None = None,
    centre: Sequence[float] | None = None,
    brightness: float | None = None,
) -> Scene:
    """Renders database image `view` of an instance, or, with ``instance=None``, distractor image `view`.

    Everything is drawn from (seed, instance, view); what is given here replaces one draw and leaves the others, so
    that the same scene can be asked for with the instance smaller, elsewhere, or in other light. Things that would
    hide the instance step aside.

    Args:
        config: settings.
        instance: 0 .. instances - 1, or None.
        view: >= 0; views beyond ``config.positives`` are further scenes of the same instance.
        area: area of the instance's box before occlusion, share of the image, 0.001..0.7; what cannot fit is made
            as large as fits.
        centre: (x, y) of the box centre, 0..1 of the image; moved inwards until the box lies in the image.
        brightness: exposure factor, > 0; 1 = neutral.

    Raises:
        ValueError: unknown instance, or a value out of its range.
    """
    _check(config, instance, view, area, centre, brightness)
    key = (_SCENE, config.seed, BLOCK if instance is None else instance, view)
    rooms, things, target, camera, cover = (stream(*key, part) for part in range(5))
    name = PLACES[rooms.integers(len(PLACES))]
    pose = _pose(target, config.perspective, name == "desk")
    size, sprite, share = FORMATS[rooms.integers(len(FORMATS))], None, 0.0
    if instance is not None:
        designed, share = design(config, instance, view)
        size, sprite = _sized(config, instance, pose, designed if area is None else area)
    image, stands = place(name, rooms, *size)
    canvas = Canvas(image, (int(rooms.integers(-2, 3)), int(rooms.integers(1, 3))), stands)
    furniture = _furniture(config, things, canvas, name)
    if instance is None or sprite is None:
        for piece in furniture:
            canvas.add(*piece)
    else:
        x, y = _position(target, sprite, size, centre, share, config.controlled)
        _compose(canvas, furniture, sprite, x, y)
        if target.random() < config.second:
            _add_second(canvas, config, target, instance, (x, y), sprite)
        if cover.random() < config.occlusion:
            _occlude(canvas, config, cover, x, y, sprite)
    photo = photograph(canvas.image, camera, config.lighting, config.blur, brightness)
    boxes = np.array([mask.getbbox() for mask in canvas.masks], np.int64).reshape(-1, 4)
    return Scene(photo, boxes, 1 - np.array(canvas.hidden_shares(), np.float64), name)


def _sized(
    config: ProceduralConfig, instance: int, pose: tuple[float, float, float], area: float
) -> tuple[tuple[int, int], Image.Image]:
    """The format that suits the instance's outline in this pose, and the instance as large as asked for, or as fits."""
    item = make_object(*config.objects()[instance])
    shape = render(item, *pose, side=64.0)
    ratio = shape.width / shape.height
    size = FORMATS[0 if ratio > 1.2 else 2 if ratio < 0.84 else 1]
    return size, _fitted(render(item, *pose, side=math.sqrt(area * size[0] * size[1])), *size)


def _check(
    config: ProceduralConfig,
    instance: int | None,
    view: int,
    area: float | None,
    centre: Sequence[float] | None,
    brightness: float | None,
) -> None:
    if instance is not None and not 0 <= instance < config.instances:
        raise ValueError(f"instance is {instance}, expected 0 to {config.instances - 1} or None for a distractor")
    if view < 0:
        raise ValueError(f"view is {view}, expected >= 0")
    if area is not None and not 0.001 <= area <= 0.7:
        raise ValueError(f"area is {area}, expected 0.001 to 0.7 of the image")
    if centre is not None and (len(centre) != 2 or not all(0 <= v <= 1 for v in centre)):
        raise ValueError(f"centre is {centre}, expected (x, y), each 0 to 1")
    if brightness is not None and not brightness > 0:
        raise ValueError(f"brightness is {brightness}, expected > 0")


@functools.lru_cache(maxsize=3 * CLUTTER_POOL)
def _pool(seed: int, index: int, aspect: int) -> Image.Image:
    """Clutter object `index` of a benchmark from one of three sides, 160 pixels large."""
    item = make_object(seed * BLOCK + BLOCK // 2 + index)
    return render(item, (-28.0, 4.0, 31.0)[aspect], (10.0, 2.0, 18.0)[aspect], side=160.0)


def _piece(config: ProceduralConfig, rng: np.random.Generator, side: float, roll: float) -> Image.Image:
    sprite = _pool(config.seed, int(rng.integers(CLUTTER_POOL)), int(rng.integers(3)))
    scale = side / 160.0
    size = (max(3, int(sprite.width * scale)), max(3, int(sprite.height * scale)))
    sprite = sprite.resize(size, Image.Resampling.BILINEAR)
    return sprite if roll == 0 else sprite.rotate(roll, Image.Resampling.BILINEAR, expand=True)


def _furniture(
    config: ProceduralConfig, rng: np.random.Generator, canvas: Canvas, name: str
) -> list[tuple[Image.Image, int, int]]:
    """Other objects of a scene with their places, from back to front: on boards, on the ground, or lying about."""
    width, height = canvas.image.size
    pieces = []
    count = int(rng.integers(config.clutter[0], config.clutter[1] + 1)) + (2 if name == "shelf" else 0)
    for _ in range(count if config.clutter[1] else 0):
        size, x = rng.uniform(0.09, 0.36) * math.sqrt(width * height), rng.uniform(-0.1, 0.9) * width
        depth, roll, board = rng.random(), rng.uniform(-180, 180), rng.random()
        if name == "shelf":
            base = canvas.stands[int(board * len(canvas.stands))]
            gap = canvas.stands[1] - canvas.stands[0]
            piece = _piece(config, rng, min(size, gap * 0.75), 0)
            y = base - piece.height
        elif canvas.stands:
            base = canvas.stands[0] + round((height * 1.06 - canvas.stands[0]) * (0.06 + 0.94 * depth))
            piece = _piece(config, rng, size * (0.45 + 0.75 * depth), 0)
            y = base - piece.height
        else:
            piece = _piece(config, rng, size, round(roll) if name == "desk" else round(roll / 12))
            y = round(rng.uniform(-0.1, 0.95) * height) - piece.height // 3
        pieces.append((piece, round(x), y))
    return sorted(pieces, key=lambda p: p[2] + p[0].height) if canvas.stands else pieces


def _position(
    rng: np.random.Generator,
    sprite: Image.Image,
    size: tuple[int, int],
    centre: Sequence[float] | None,
    share: float,
    controlled: bool,
) -> tuple[int, int]:
    room = ((size[0] - sprite.width) / 2, (size[1] - sprite.height) / 2)
    distance = share * MAX_DISTANCE * math.hypot(*size) / 2 if controlled else None
    dx, dy = _centre(rng, room, distance, share)
    if centre is not None:
        dx, dy = (centre[0] - 0.5) * size[0], (centre[1] - 0.5) * size[1]
    x, y = (round(r + min(max(d, -r), r) + 0.003) for r, d in zip(room, (dx, dy), strict=True))
    return min(max(x, 0), size[0] - sprite.width), min(max(y, 0), size[1] - sprite.height)


def _compose(
    canvas: Canvas, furniture: list[tuple[Image.Image, int, int]], sprite: Image.Image, x: int, y: int
) -> None:
    """Paints what stands behind the instance, the instance, and what stands in front without hiding it."""
    base = y + sprite.height
    front = [(p, px, py) for p, px, py in furniture if canvas.stands and py + p.height > base]
    for piece, px, py in furniture:
        if not canvas.stands or py + piece.height <= base:
            canvas.add(piece, px, py)
    canvas.add(sprite, x, y, instance=True)
    for piece, px, py in front:
        if canvas.hidden(piece, px, py)[1] < 0.1:
            canvas.add(piece, px, py)


def _add_second(
    canvas: Canvas,
    config: ProceduralConfig,
    rng: np.random.Generator,
    instance: int,
    corner: tuple[int, int],
    first: Image.Image,
) -> None:
    """A second appearance of the instance, beside the first, if there is room for it."""
    (x, y), pose = corner, _pose(rng, config.perspective, False)
    side = rng.uniform(0.5, 1.0) * math.sqrt(first.width * first.height)
    sprite = render(make_object(*config.objects()[instance]), *pose, side=max(24.0, side))
    width, height = canvas.image.size
    for _ in range(12):
        px, py = (int(rng.integers(0, max(1, s))) for s in (width - sprite.width, height - sprite.height))
        apart = px > x + first.width or px + sprite.width < x or py > y + first.height or py + sprite.height < y
        if apart and px + sprite.width <= width and py + sprite.height <= height:
            canvas.add(sprite, px, py, instance=True)
            return


def _occlude(
    canvas: Canvas, config: ProceduralConfig, rng: np.random.Generator, x: int, y: int, sprite: Image.Image
) -> None:
    """Another object in front of a part of the instance: the first of some tries that hides 8 to 40 % of it."""
    size = math.sqrt(sprite.width * sprite.height)
    for _ in range(6):
        piece = _piece(config, rng, size * rng.uniform(0.4, 0.8), 0)
        side = rng.random() < 0.5
        px = x - piece.width // 2 if side else x + sprite.width - piece.width // 2
        py = y + round(rng.uniform(0.3, 1.05) * sprite.height) - piece.height // 2
        now, then = canvas.hidden(piece, px, py)
        if now + 0.08 <= then <= 0.4:
            canvas.add(piece, px, py)
            return


def make_query(config: ProceduralConfig, instance: int, view: int = 0) -> Image.Image:
    """Studio photograph of an instance: 224 x 224, plain ground, soft shadow, hardly turned, 85 % of the frame."""
    _check(config, instance, view, None, None, None)
    rng = stream(_QUERY, config.seed, instance, view)
    yaw, pitch, roll = _pose(rng, config.perspective, False)
    grey = int(rng.integers(205, 250))
    tint = [int(v) for v in grey + rng.integers(-5, 6, 3)]
    image = Image.new("RGB", (QUERY_SIDE, QUERY_SIDE), tuple(tint))
    item = make_object(*config.objects()[instance])
    sprite = render(item, yaw * 0.6, pitch * 0.6, roll * 0.1, side=QUERY_SIDE * 0.8)
    scale = min(1.0, QUERY_SIDE * 0.86 / max(sprite.size))
    sprite = sprite.resize((int(sprite.width * scale), int(sprite.height * scale)), Image.Resampling.BILINEAR)
    x, y = ((QUERY_SIDE - v) // 2 for v in sprite.size)
    paste(image, sprite, x, y, (1, 1), standing=True)
    return photograph(image, stream(_QUERY, config.seed, instance, view, 1), 0.25 * config.lighting, 0.0, None)
