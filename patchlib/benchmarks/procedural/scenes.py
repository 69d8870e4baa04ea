"""Pictures of procedural objects: clean queries and scenes with exact boxes.

A scene is painted from back to front. Each of its parts draws from a stream of its own, so that one part can be changed
(the object's size, say) while all the others stay as they are.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib.benchmarks.procedural.canvas import Canvas, Placed, paste, photograph
from patchlib.benchmarks.procedural.config import BLOCK, ProceduralConfig, design
from patchlib.benchmarks.procedural.objects import make_object, render
from patchlib.benchmarks.procedural.patterns import Rng, stream
from patchlib.benchmarks.procedural.places import FORMATS, PLACES

QUERY_SIDE = 224  # pixels
CLUTTER_POOL = 240  # different objects that furnish the scenes of one benchmark; never an instance
MAX_DISTANCE = 0.5  # largest centre distance of the position-controlled set, in half diagonals
_QUERY, _SCENE = 11, 12  # first keys of the streams
Pose = tuple[float, float, float]  # yaw, pitch and roll in degrees


@dataclass(frozen=True)
class Scene:
    """A rendered scene."""

    image: Image.Image  # RGB
    # (B, 4) int64 xyxy pixels of the visible part of the instance, one row per appearance; (0, 4) for a distractor
    # image
    boxes: NDArray[np.int64]
    visible: NDArray[np.float64]  # (B,) share of the instance's pixels that can be seen, 0..1
    place: str  # what the scene shows, one of ``PLACES``


def make_scene(
    config: ProceduralConfig,
    instance: int | None,
    number: int,
    *,
    area: float | None = None,
    centre: Sequence[float] | None = None,
    brightness: float | None = None,
) -> Scene:
    """Renders a database image of an instance, or, with ``instance=None``, a distractor image.

    Everything is drawn from (seed, instance, number); what is given here replaces one draw and leaves the others, so
    that the same scene can be asked for with the instance smaller, elsewhere, or in other light. Things that would
    hide the instance step aside; where its place is given, all of them stand behind it and stay what they are.

    Args:
        config: settings.
        instance: 0 .. instances - 1, or None.
        number: >= 0; beyond ``config.positives`` there are further scenes of the same instance.
        area: area of the instance's box before occlusion, share of the image, 0.001..0.7; what cannot fit is made
            as large as fits.
        centre: (x, y) of the box centre, 0..1 of the image; moved inwards until the box lies in the image.
        brightness: exposure factor, > 0; 1 = neutral.

    Raises:
        ValueError: unknown instance, or a value out of its range.
    """
    _check(config, instance, number=number, area=area, centre=centre, brightness=brightness)
    key = (_SCENE, config.seed, BLOCK if instance is None else instance, number)
    rooms, things, target, camera, cover = (stream(*key, part) for part in range(5))
    name = tuple(PLACES)[rooms.integers(len(PLACES))]
    pose = _pose(target, config.perspective, name == "desk")
    size = FORMATS[rooms.integers(len(FORMATS))]
    if instance is not None:
        designed, share = design(config, instance, number)
        size, sprite = _sized(config, instance, pose, designed if area is None else area)
    image, stands = PLACES[name](rooms, *size)
    canvas = Canvas(image, (int(rooms.integers(-2, 3)), int(rooms.integers(1, 3))), stands)
    furniture = _furniture(config, things, canvas, name)
    if instance is None:
        for piece in furniture:
            canvas.add(piece)
    else:
        shown = _positioned(config, target, sprite, size, centre, share)
        _compose(canvas, furniture, shown, foremost=centre is not None)
        if target.random() < config.second:
            _add_second(canvas, config, target, instance, shown)
        if cover.random() < config.occlusion:
            _occlude(canvas, config, cover, shown)
    photo = photograph(canvas.image, camera, config.lighting, config.blur, brightness)
    boxes = np.array([mask.getbbox() for mask in canvas.masks], np.int64).reshape(-1, 4)
    return Scene(photo, boxes, 1 - np.array(canvas.hidden_shares(), np.float64), name)


def _check(config: ProceduralConfig, instance: int | None, **values: Any) -> None:
    if instance is not None and not 0 <= instance < config.instances:
        raise ValueError(f"instance is {instance}, expected 0 to {config.instances - 1} or None for a distractor")
    limits = {
        "number": (lambda v: v >= 0, ">= 0"),
        "area": (lambda v: 0.001 <= v <= 0.7, "0.001 to 0.7 of the image"),
        "centre": (lambda v: len(v) == 2 and all(0 <= side <= 1 for side in v), "(x, y), each 0 to 1"),
        "brightness": (lambda v: v > 0, "> 0"),
    }
    for name, value in values.items():
        allowed, expected = limits[name]
        if value is not None and not allowed(value):
            raise ValueError(f"{name} is {value}, expected {expected}")


def _pose(rng: Rng, strength: float, lying: bool) -> Pose:
    """What lies on a desk may be turned any way, what stands hardly rolls."""
    spread = 75.0 if lying else (50.0 if rng.random() < 0.3 else 12.0)
    yaw, pitch, roll = rng.uniform(-40, 40), rng.uniform(-4, 32), rng.uniform(-1, 1) * spread
    return yaw * strength, pitch * strength, roll * strength


def _scaled(sprite: Image.Image, scale: float, least: int = 1) -> Image.Image:
    """A sprite `scale` times as large, no side shorter than `least` pixels."""
    size = (max(least, int(sprite.width * scale)), max(least, int(sprite.height * scale)))
    return sprite.resize(size, Image.Resampling.BILINEAR)


def _sized(config: ProceduralConfig, instance: int, pose: Pose, area: float) -> tuple[tuple[int, int], Image.Image]:
    """The format that suits the instance's outline in this pose, and the instance as large as asked for, or as fits."""
    item = make_object(*config.objects()[instance])
    shape = render(item, *pose, side=64.0)
    ratio = shape.width / shape.height
    size = FORMATS[0 if ratio > 1.2 else 2 if ratio < 0.84 else 1]
    sprite = render(item, *pose, side=math.sqrt(area * size[0] * size[1]))
    return size, _scaled(sprite, min(1.0, 0.985 * size[0] / sprite.width, 0.985 * size[1] / sprite.height), least=4)


@functools.lru_cache(maxsize=3 * CLUTTER_POOL)
def _pool(seed: int, index: int, aspect: int) -> Image.Image:
    """Clutter object `index` of a benchmark from one of three sides, 160 pixels large."""
    item = make_object(seed * BLOCK + BLOCK // 2 + index)
    return render(item, (-28.0, 4.0, 31.0)[aspect], (10.0, 2.0, 18.0)[aspect], side=160.0)


def _piece(config: ProceduralConfig, rng: Rng, side: float, roll: float) -> Image.Image:
    sprite = _pool(config.seed, int(rng.integers(CLUTTER_POOL)), int(rng.integers(3)))
    sprite = _scaled(sprite, side / 160.0, least=3)
    return sprite if roll == 0 else sprite.rotate(roll, Image.Resampling.BILINEAR, expand=True)


def _furniture(config: ProceduralConfig, rng: Rng, canvas: Canvas, name: str) -> list[Placed]:
    """Other objects of a scene with their places, from back to front: on boards, on the ground, or lying about."""
    width, height = canvas.image.size
    pieces = []
    count = int(rng.integers(config.clutter[0], config.clutter[1] + 1)) + (2 if name == "shelf" else 0)
    for _ in range(count if config.clutter[1] else 0):
        size, x = rng.uniform(0.09, 0.36) * math.sqrt(width * height), rng.uniform(-0.1, 0.9) * width
        depth, roll, board = rng.random(), rng.uniform(-180, 180), rng.random()
        if name == "shelf":
            base = canvas.stands[int(board * len(canvas.stands))]
            size, roll = min(size, (canvas.stands[1] - canvas.stands[0]) * 0.75), 0
        elif canvas.stands:
            base = canvas.stands[0] + round((height * 1.06 - canvas.stands[0]) * (0.06 + 0.94 * depth))
            size, roll = size * (0.45 + 0.75 * depth), 0
        piece = _piece(config, rng, size, round(roll if name == "desk" else roll / 12))
        y = base - piece.height if canvas.stands else round(rng.uniform(-0.1, 0.95) * height) - piece.height // 3
        pieces.append(Placed(piece, round(x), y))
    return sorted(pieces, key=lambda piece: piece.base) if canvas.stands else pieces


def _offset(rng: Rng, room: tuple[float, float], distance: float) -> tuple[float, float]:
    """Offset (pixels) of the box centre from the image's, as far away as asked for or as the room on a side allows."""
    turn, sides = rng.random(), rng.integers(0, 2, 2) * 2 - 1
    away = max(1e-9, min(distance, math.hypot(*room) * 0.999))
    first, last = math.acos(min(1.0, room[0] / away)), math.asin(min(1.0, room[1] / away))
    angle = first + turn * max(0.0, last - first)
    return away * math.cos(angle) * int(sides[0]), away * math.sin(angle) * int(sides[1])


def _positioned(
    config: ProceduralConfig,
    rng: Rng,
    sprite: Image.Image,
    size: tuple[int, int],
    centre: Sequence[float] | None,
    share: float,
) -> Placed:
    """The instance in an image of some size: its centre as given, or `share` (0..1) of the way to where it may lie."""
    room = ((size[0] - sprite.width) / 2, (size[1] - sprite.height) / 2)
    farthest = MAX_DISTANCE * math.hypot(*size) / 2 if config.controlled else math.hypot(*room)
    dx, dy = _offset(rng, room, share * farthest)
    if centre is not None:
        dx, dy = (centre[0] - 0.5) * size[0], (centre[1] - 0.5) * size[1]
    x, y = (round(r + min(max(d, -r), r) + 0.003) for r, d in zip(room, (dx, dy), strict=True))
    return Placed(sprite, min(max(x, 0), size[0] - sprite.width), min(max(y, 0), size[1] - sprite.height))


def _compose(canvas: Canvas, furniture: list[Placed], shown: Placed, foremost: bool) -> None:
    """Paints what stands behind the instance (all, if it is foremost), it, and what stands before without hiding it."""
    in_front = canvas.stands and not foremost
    front = [piece for piece in furniture if in_front and piece.base > shown.base]
    for piece in furniture:
        if not in_front or piece.base <= shown.base:
            canvas.add(piece)
    canvas.add(shown, instance=True)
    for piece in front:
        if canvas.hidden(piece)[1] < 0.1:
            canvas.add(piece)


def _add_second(canvas: Canvas, config: ProceduralConfig, rng: Rng, instance: int, shown: Placed) -> None:
    """A second appearance of the instance, beside the first, if there is room for it."""
    (first, x, y), pose = shown, _pose(rng, config.perspective, False)
    side = rng.uniform(0.5, 1.0) * math.sqrt(first.width * first.height)
    sprite = render(make_object(*config.objects()[instance]), *pose, side=max(24.0, side))
    width, height = canvas.image.size
    for _ in range(12):
        px, py = (int(rng.integers(0, max(1, s))) for s in (width - sprite.width, height - sprite.height))
        apart = px > x + first.width or px + sprite.width < x or py > y + first.height or py + sprite.height < y
        if apart and px + sprite.width <= width and py + sprite.height <= height:
            canvas.add(Placed(sprite, px, py), instance=True)
            return


def _occlude(canvas: Canvas, config: ProceduralConfig, rng: Rng, shown: Placed) -> None:
    """Another object in front of a part of the instance: the first of some tries that hides 8 to 40 % of it."""
    width, height = shown.sprite.size
    for _ in range(6):
        sprite = _piece(config, rng, math.sqrt(width * height) * rng.uniform(0.4, 0.8), 0)
        x = shown.x - sprite.width // 2 + (0 if rng.random() < 0.5 else width)
        y = shown.y + round(rng.uniform(0.3, 1.05) * height) - sprite.height // 2
        piece = Placed(sprite, x, y)
        now, then = canvas.hidden(piece)
        if now + 0.08 <= then <= 0.4:
            canvas.add(piece)
            return


def make_query(config: ProceduralConfig, instance: int) -> Image.Image:
    """Studio photograph of an instance: 224 x 224, plain ground, soft shadow, hardly turned, 85 % of the frame."""
    _check(config, instance)
    rng = stream(_QUERY, config.seed, instance, 0)
    yaw, pitch, roll = _pose(rng, config.perspective, False)
    grey = int(rng.integers(205, 250))
    red, green, blue = (grey + rng.integers(-5, 6, 3)).tolist()
    image = Image.new("RGB", (QUERY_SIDE, QUERY_SIDE), (red, green, blue))
    item = make_object(*config.objects()[instance])
    sprite = render(item, yaw * 0.6, pitch * 0.6, roll * 0.1, side=QUERY_SIDE * 0.8)
    sprite = _scaled(sprite, min(1.0, QUERY_SIDE * 0.86 / max(sprite.size)))
    x, y = ((QUERY_SIDE - side) // 2 for side in sprite.size)
    paste(image, Placed(sprite, x, y), (1, 1), standing=True)
    return photograph(image, stream(_QUERY, config.seed, instance, 0, 1), 0.25 * config.lighting, 0.0)
