"""Shapes of the procedural objects: cartons, bottles, mugs, signs, toys, as a few textured faces in space.

A shape takes the family's stream (what siblings share), the variant's stream (what tells them apart) and the palette;
:data:`SHAPES` lists them by the kinds of objects that they make.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from patchlib.benchmarks.procedural.artwork import BLACK, WHITE, label
from patchlib.benchmarks.procedural.patterns import Colour, Draw, Pen, Rng, star

TEXTURE = 192  # pixels of the longer side of a face
Corners = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Face:
    """A textured rectangle: RGBA texture and its corners in space (top left, top right, bottom right, bottom left)."""

    texture: Image.Image
    corners: Corners
    brightness: float = 1.0

    @cached_property
    def outline(self) -> np.ndarray:
        """(K, 3) points in space around what is solid of the texture: the ends of each of 64 rows."""
        solid = np.asarray(self.texture.getchannel("A").resize((64, 64), Image.Resampling.BOX)) > 127
        rows = np.flatnonzero(solid.any(axis=1))
        left, right = solid[rows].argmax(axis=1), 64 - solid[rows, ::-1].argmax(axis=1)
        u, v = np.concatenate([left, right] * 2) / 64, np.concatenate([rows, rows, rows + 1, rows + 1]) / 64
        origin, across, _, down = np.array(self.corners, float)
        return origin + u[:, None] * (across - origin) + v[:, None] * (down - origin)


@dataclass(frozen=True)
class ProceduralObject:
    """An object to be rendered. `wrap` = index map, shading and print of round ones, whose print turns with the yaw."""

    faces: tuple[Face, ...]
    wrap: tuple[np.ndarray, Image.Image, Image.Image] | None = None


def _bulge(image: Image.Image, mask: Image.Image, depth: float) -> Image.Image:
    """Darkens towards the outline, as light from the viewer does on an inflated body; `depth` 0..1."""
    blurred = mask.filter(ImageFilter.BoxBlur(TEXTURE // 9)).filter(ImageFilter.BoxBlur(TEXTURE // 12))
    floor = round(255 * (1 - depth))
    light = blurred.point([min(255, floor + (255 - floor) * v // 215) for v in range(256)])
    return ImageChops.multiply(image, Image.merge("RGB", (light,) * 3))


def _cut_out(image: Image.Image, mask: Image.Image) -> Image.Image:
    texture = image.convert("RGBA")
    texture.putalpha(mask)
    return texture


def _flat(image: Image.Image, mask: Image.Image, bulge: float = 0.0) -> ProceduralObject:
    """An object of one upright face."""
    w, h = image.width / TEXTURE, image.height / TEXTURE
    texture = _cut_out(_bulge(image, mask, bulge) if bulge else image, mask)
    return ProceduralObject((Face(texture, ((-w, -h, 0), (w, -h, 0), (w, h, 0), (-w, h, 0))),))


def _mask(width: int, height: int) -> tuple[Image.Image, Draw]:
    """A mask to draw on, twice as large as it will be."""
    mask = Image.new("L", (2 * width, 2 * height), 0)
    return mask, ImageDraw.Draw(mask)


def _smooth(mask: Image.Image) -> Image.Image:
    return mask.resize((mask.width // 2, mask.height // 2), Image.Resampling.BOX)


def block(kind: str, family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """Carton (tall, with a gable and a cap), box or book: front, side and top faces."""
    w, d = {"carton": (0.45, 0.4), "box": (0.75, 0.4), "book": (0.72, 0.12)}[kind]
    w, d, h = w * family.uniform(0.9, 1.3), d * family.uniform(0.7, 1.2), 1.0
    front = label(family, variant, round(TEXTURE * w), TEXTURE, colours)
    side = label(family, variant, max(24, round(TEXTURE * d)), TEXTURE, [colours[0], *colours[1:][::-1]])
    if kind == "book":
        side = Image.new("RGB", side.size, colours[0])
    top = Image.new("RGB", (front.width, side.width), colours[family.integers(2)])
    crown = -h
    if kind == "carton" and family.random() < 0.7:
        rise = family.uniform(0.2, 0.34)
        crown = -h + rise
        slope = front.crop((0, 0, front.width, round(rise * TEXTURE / 2)))
        front, side = (face.crop((0, slope.height, face.width, TEXTURE)) for face in (front, side))
        if family.random() < 0.6:
            Pen(ImageDraw.Draw(slope)).disc(slope.width * 0.5, slope.height * 0.5, slope.height * 0.33, colours[2])
        faces = _gables(colours[0], w, d, crown)
        faces.append(_face(slope, ((-w, -h, 0.0), (w, -h, 0.0), (w, crown, -d), (-w, crown, -d)), 1.06))
    else:
        faces = [_face(top, ((-w, -h, d), (w, -h, d), (w, -h, -d), (-w, -h, -d)), 1.08)]
    faces.append(_face(side, ((-w, crown, d), (-w, crown, -d), (-w, h, -d), (-w, h, d)), 0.62))
    faces.append(_face(side, ((w, crown, -d), (w, crown, d), (w, h, d), (w, h, -d)), 0.74))
    faces.append(_face(front, ((-w, crown, -d), (w, crown, -d), (w, h, -d), (-w, h, -d))))
    return ProceduralObject(tuple(faces))


def _face(image: Image.Image, corners: Corners, brightness: float = 1.0) -> Face:
    return Face(image.convert("RGBA"), corners, brightness)


def _gables(colour: Colour, w: float, d: float, crown: float) -> list[Face]:
    """The triangles that close the roof of a carton of half-width `w` and half-depth `d` on its left and right."""
    mask, draw = _mask(48, 48)
    draw.polygon([(48, 0), (96, 96), (0, 96)], fill=255)
    texture = _cut_out(Image.new("RGB", (48, 48), colour), _smooth(mask))
    return [
        Face(texture, ((x, -1.0, z), (x, -1.0, -z), (x, crown, -z), (x, crown, z)), 0.66) for x, z in ((-w, d), (w, -d))
    ]


def _profile(kind: str, family: Rng) -> list[tuple[float, float]]:
    """Half-widths of a round object at heights 0 (top) .. 1, in units of its greatest half-width."""
    if kind == "can":
        return [(0.0, 0.9), (0.05, 1.0), (0.95, 1.0), (1.0, 0.92)]
    if kind == "mug":
        foot = family.uniform(0.7, 1.0)
        return [(0.0, 1.0), (0.75, 0.5 + foot / 2), (1.0, foot)]
    neck, shoulder = family.uniform(0.3, 0.55), family.uniform(0.2, 0.42)
    waist = family.uniform(0.82, 1.0)
    return [(0.0, neck), (shoulder * 0.55, neck), (shoulder, 1.0), (0.7, waist), (0.93, 1.0), (1.0, 0.88)]


def revolved(kind: str, family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """Bottle, can or mug: a label wrapped around a body of revolution."""
    ratio = {"bottle": 0.45, "can": 0.62, "mug": 0.9}[kind] * family.uniform(0.9, 1.15)
    height, radius = TEXTURE, TEXTURE * ratio / 2
    handle = round(radius * 0.5) if kind == "mug" else 0
    width = 2 * round(radius) + handle
    around = label(family, variant, round(radius * 5.2), height, colours)
    if kind == "bottle":
        draw, band = ImageDraw.Draw(around), family.uniform(0.1, 0.2)
        glass = colours[family.integers(1, 6)]
        draw.rectangle([0, 0, around.width, round(height * family.uniform(0.25, 0.4))], fill=glass)
        draw.rectangle([0, 0, around.width, round(height * band)], fill=colours[2])
        if family.random() < 0.6:
            draw.rectangle([0, round(height * 0.85), around.width, height], fill=glass)
    half = np.interp(np.linspace(0, 1, height), *np.transpose(_profile(kind, family))) * radius
    across = (np.arange(width) + 0.5 - round(radius))[None] / half[:, None]
    angle = np.arcsin(np.clip(across, -1, 1))
    index = np.rint(around.width / 2 + angle * radius).astype(np.int32)
    light = 0.5 + 0.5 * np.cos(np.clip(angle + 0.45, -1.6, 1.6)) + 0.35 * np.exp(-(((angle + 0.6) / 0.16) ** 2))
    shading = Image.fromarray(np.rint(np.clip(light * 0.86, 0, 1) * 255).astype(np.uint8))
    mask, draw = _mask(width, height)
    middle = 2 * round(radius)
    left, right = ([(round(middle + 2 * s * half[y]), 2 * y) for y in range(height)] for s in (-1, 1))
    draw.polygon([*left, *reversed(right)], fill=255)
    lip = max(3, round(radius * 0.16))
    draw.rectangle([0, 2 * (height - lip), 2 * width, 2 * height], fill=0)
    foot = 2 * round(half[-lip])
    draw.ellipse([middle - foot, 2 * (height - 2 * lip), middle + foot, 2 * height - 1], fill=255)
    if handle:
        box = [2 * round(radius * 1.5), round(height * 0.5), 2 * (width - 1), round(height * 1.45)]
        draw.rounded_rectangle(box, radius=handle, outline=255, width=max(6, handle // 2))
    flat = _flat(around.crop((0, 0, width, height)), _smooth(mask))
    return ProceduralObject(flat.faces, (index, shading, around))


# points, centre's height and radius in half heights, phase: triangle, square, octagon
SIGNS = ((3, 1.15, 1.1, -math.pi / 2), (4, 1, 1.0, -math.pi / 2), (8, 1, 1.0, -math.pi / 2 + 0.39))


def sign(family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """Round, rounded or a polygon, with a rim."""
    width, height = TEXTURE, round(TEXTURE * (1.0 if family.random() < 0.6 else 0.62))
    shape, (mask, draw) = int(family.integers(5)), _mask(width, height)
    if shape == 0:
        draw.ellipse([2, 2, 2 * width - 3, 2 * height - 3], fill=255)
    elif shape == 1:
        draw.rounded_rectangle([2, 2, 2 * width - 3, 2 * height - 3], radius=height // 4, fill=255)
    else:
        points, middle, radius, phase = SIGNS[shape - 2]
        draw.polygon(star(width, height * middle, height * radius, points, 1.0, phase)[::2], fill=255)
    mask = _smooth(mask)
    face = label(family, variant, width, height, colours)
    rim = colours[family.integers(1, 6)]
    inner = mask.filter(ImageFilter.MinFilter(13 if family.random() < 0.5 else 9))
    return _flat(Image.composite(face, Image.new("RGB", face.size, rim), inner), mask)


def plate(family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """Round, with three rings."""
    size = TEXTURE
    face, (mask, draw) = label(family, variant, size, size, colours), _mask(size, size)
    draw.ellipse([2, 2, 2 * size - 3, 2 * size - 3], fill=255)
    ring = ImageDraw.Draw(face)
    for inset, colour in ((0, 1), (size // 16, 4), (size // 7, 2)):
        width = max(3, round(size * family.uniform(0.02, 0.07)))
        ring.ellipse([inset, inset, size - inset, size - inset], outline=colours[colour], width=width)
    return _flat(face, _smooth(mask), bulge=0.45)


def pouch(family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """A bag with pinched sides and toothed ends."""
    width, height = round(TEXTURE * family.uniform(0.68, 0.85)), TEXTURE
    face, (mask, draw) = label(family, variant, width, height, colours), _mask(width, height)
    pinch, teeth = width * family.uniform(0.04, 0.12), int(family.integers(9, 17))
    left = [(round(2 + pinch * math.sin(math.pi * y / height)), 2 * y) for y in range(6, height - 6, 4)]
    edge = [(2 * width * i // (2 * teeth), 2 * height - 2 - 10 * (i % 2)) for i in range(2 * teeth + 1)]
    right, top = [(2 * width - x, y) for x, y in left], [(x, 2 * height - y) for x, y in edge]
    draw.polygon([*left, *edge, *reversed(right), *reversed(top)], fill=255)
    crimp = ImageDraw.Draw(face)
    for y in (height // 14, height - height // 14):
        for k in range(3):
            crimp.line([(0, y + 3 * k), (width, y + 3 * k)], fill=colours[5], width=1)
    return _flat(face, _smooth(mask), bulge=0.55)


def toy(family: Rng, variant: Rng, colours: list[Colour]) -> ProceduralObject:
    """A sitting stuffed creature: body, head, ears, arms, feet, a face and a printed belly."""
    width, height = round(TEXTURE * family.uniform(0.7, 0.95)), TEXTURE
    mask, draw = _mask(width, height)
    face = label(family, variant, width, height, colours)
    cut, paint, middle = Pen(draw), Pen(ImageDraw.Draw(face)), width / 2
    head, body = family.uniform(0.28, 0.38) * width, family.uniform(0.34, 0.46) * width
    fur = colours[family.integers(2)]
    ear, ear_out, ear_tall = family.uniform(0.3, 0.55) * head, family.uniform(0.5, 0.9), family.uniform(0.8, 2.0)
    neck = height * 0.36
    parts = [(middle, height * 0.66, body, 0.33 * height / body), (middle, neck - head * 0.1, head, 0.92)]
    parts += [(middle + s * head * ear_out, max(ear * ear_tall, neck - head * 0.95), ear, ear_tall) for s in (-1, 1)]
    parts += [(middle + s * body * 0.95, height * 0.6, body * 0.3, 1.9) for s in (-1, 1)]
    parts += [(middle + s * body * 0.6, height * 0.91, body * 0.42, 0.55) for s in (-1, 1)]
    for cx, cy, radius, squeeze in parts:
        cut.disc(2 * cx, 2 * cy, 2 * radius, 255, squeeze)
    for cx, cy, radius, squeeze in parts[1:]:
        paint.disc(cx, cy, radius, fur, squeeze)
    snout, eye = colours[2], head * family.uniform(0.13, 0.26)
    paint.disc(middle, neck + head * 0.3, head * family.uniform(0.25, 0.5), snout, 0.7)
    paint.disc(middle, neck + head * 0.15, head * 0.13, (25, 20, 20), 0.7)
    for side in (-1, 1):
        paint.disc(middle + side * head * 0.42, neck - head * 0.3, eye, WHITE)
        paint.disc(middle + side * head * 0.42, neck - head * 0.28, eye * variant.uniform(0.4, 0.8), BLACK)
    return _flat(face, _smooth(mask), bulge=0.6)


SHAPES: tuple[Callable[[Rng, Rng, list[Colour]], ProceduralObject], ...] = (
    partial(block, "carton"), partial(block, "box"), partial(revolved, "bottle"), partial(revolved, "can"),
    partial(revolved, "mug"), sign, toy, pouch, partial(block, "book"), plate,
)  # fmt: skip
