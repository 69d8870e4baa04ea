"""Flat artwork of the procedural objects: lettering, pictures, whole labels.

Everything is drawn with integer coordinates by Pillow from keyed random streams, so that the same key gives the same
bytes on every machine. A *family* stream decides what siblings share (layout, colours, pattern), a *variant* stream
what tells them apart (lettering, pictures, one colour).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from patchlib.benchmarks.procedural.patterns import Colour, disc, pattern, star


def _ink(rng: np.random.Generator, colours: Sequence[Colour], ground: Colour) -> Colour:
    """A colour of the palette that can be read on `ground`."""
    readable = [c for c in colours if sum(abs(a - b) for a, b in zip(c, ground, strict=True)) > 150]
    return readable[rng.integers(len(readable))] if readable else (255, 255, 255) if sum(ground) < 380 else (20, 20, 24)


def letters(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Sequence[int], ink: Colour, count: int, bold: float
) -> None:
    """A word of invented letters: strokes between the nodes of a 3 x 4 lattice, as high as `box`, evenly spaced."""
    x0, y0, x1, y1 = box
    pitch = (x1 - x0) / count
    width, height = pitch * 0.68, y1 - y0
    stroke = max(2, int(min(width, height) * bold))
    for i in range(count):
        left = x0 + i * pitch + pitch * 0.16
        node = [(round(left + width * (k % 3) / 2), round(y0 + height * (k // 3) / 3)) for k in range(12)]
        spine = (0, 1, 2)[rng.integers(3)]
        draw.line([node[spine], node[9 + spine]], fill=ink, width=stroke)
        for _ in range(int(rng.integers(1, 4))):
            a, b = rng.choice(12, 2, replace=False)
            draw.line([node[a], node[b]], fill=ink, width=stroke)
        if rng.random() < 0.35:
            top = round(y0 + height * rng.integers(0, 2) / 2)
            draw.ellipse([round(left), top, round(left + width), top + round(height / 2)], outline=ink, width=stroke)


def _fruit(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    for dx, dy in ((-0.35, 0.15), (0.35, 0.2), (0.0, -0.25))[: rng.integers(1, 4)]:
        disc(draw, x + dx * s, y + dy * s, 0.5 * s, c[0])
        disc(draw, x + (dx - 0.15) * s, y + (dy - 0.15) * s, 0.16 * s, c[1])
    draw.polygon(star(x + 0.2 * s, y - 0.7 * s, 0.35 * s, 2, 0.35, 0.6), fill=c[2])


def _citrus(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    disc(draw, x, y, 0.8 * s, c[0])
    disc(draw, x, y, 0.68 * s, c[1])
    rays = int(rng.integers(5, 10))
    fan = star(x, y, 0.6 * s, rays, 0.96)
    for i in range(0, 2 * rays, 2):
        draw.polygon([(round(x), round(y)), fan[i], fan[i + 1]], fill=c[0])


def _face(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    ear = rng.uniform(0.25, 0.45)
    for side in (-1, 1):
        disc(draw, x + side * 0.5 * s, y - 0.55 * s, ear * s, c[2])
    disc(draw, x, y, 0.7 * s, c[0], rng.uniform(0.75, 1.1))
    eye = rng.uniform(0.09, 0.2)
    for side in (-1, 1):
        disc(draw, x + side * 0.28 * s, y - 0.12 * s, eye * s, (250, 250, 250))
        disc(draw, x + side * 0.28 * s, y - 0.1 * s, eye * 0.55 * s, (20, 20, 24))
    disc(draw, x, y + 0.25 * s, rng.uniform(0.12, 0.3) * s, c[1], 0.6)


def _flower(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    petals = int(rng.integers(4, 9))
    for px, py in star(x, y, 0.5 * s, petals, 1.0)[::2]:
        disc(draw, px, py, s * 1.4 / petals, c[0])
    disc(draw, x, y, 0.3 * s, c[1])


def _fish(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    flip = 1 if rng.random() < 0.5 else -1
    disc(draw, x, y, 0.7 * s, c[0], rng.uniform(0.4, 0.7))
    tail = [(x - flip * 0.5 * s, y), (x - flip * s, y - 0.4 * s), (x - flip * s, y + 0.4 * s)]
    draw.polygon([(round(a), round(b)) for a, b in tail], fill=c[2])
    disc(draw, x + flip * 0.4 * s, y - 0.1 * s, 0.1 * s, c[1])


def _emblem(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    disc(draw, x, y, 0.85 * s, c[1])
    points, inner = int(rng.integers(3, 10)), rng.uniform(0.3, 0.9)
    draw.polygon(star(x, y, 0.7 * s, points, inner, rng.uniform(0, 6.3)), fill=c[0])
    if rng.random() < 0.5:
        disc(draw, x, y, 0.2 * s, c[2])


def _mosaic(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    cell, left = s * 0.3, x - 0.75 * s
    on = rng.random((5, 3)) < 0.55
    for j in range(5):
        for i in range(5):
            corner = (round(left + i * cell), round(y - 0.75 * s + j * cell))
            fill = c[0] if on[j, min(i, 4 - i)] else c[1]
            draw.rectangle([corner, (round(corner[0] + cell), round(corner[1] + cell))], fill=fill)


def _scenery(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]
) -> None:
    left, top, right, bottom = (round(v) for v in (x - 0.9 * s, y - 0.7 * s, x + 0.9 * s, y + 0.7 * s))
    draw.rectangle([left, top, right, bottom], fill=c[1])
    disc(draw, x + rng.uniform(-0.5, 0.5) * s, y - 0.3 * s, 0.2 * s, c[2])
    for _ in range(int(rng.integers(1, 4))):
        peak, base = round(x + rng.uniform(-0.6, 0.6) * s), round(y + rng.uniform(-0.4, 0.3) * s)
        draw.polygon(
            [(peak, base), (max(left, peak - round(0.6 * s)), bottom), (min(right, peak + round(0.6 * s)), bottom)],
            fill=c[0],
        )


def _glass(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float, c: list[Colour]) -> None:
    fill, taper = y + rng.uniform(-0.5, 0.1) * s, rng.uniform(0.3, 0.5)
    outer = [
        (x - 0.5 * s, y - 0.8 * s),
        (x + 0.5 * s, y - 0.8 * s),
        (x + taper * s, y + 0.8 * s),
        (x - taper * s, y + 0.8 * s),
    ]
    inner = [
        (x - 0.44 * s, fill),
        (x + 0.44 * s, fill),
        (x + taper * 0.85 * s, y + 0.72 * s),
        (x - taper * 0.85 * s, y + 0.72 * s),
    ]
    draw.polygon([(round(a), round(b)) for a, b in outer], fill=c[1])
    draw.polygon([(round(a), round(b)) for a, b in inner], fill=c[0])


PICTURES: tuple[Callable[..., None], ...] = (_fruit, _citrus, _face, _flower, _fish, _emblem, _mosaic, _scenery, _glass)


def lines_of_text(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: Sequence[int], ink: Colour) -> None:
    """Small print: rows of short dashes."""
    x0, y0, x1, y1 = box
    for y in range(y0, y1, 7):
        x = x0
        while x < x1:
            dash = int(rng.integers(3, 14))
            draw.rectangle([x, y, min(x + dash, x1), y + 2], fill=ink)
            x += dash + 4


# ------------------------------------------------------------------ a label


def label(
    family: np.random.Generator, variant: np.random.Generator, width: int, height: int, colours: list[Colour]
) -> Image.Image:
    """One printed face of `width` x `height` pixels: ground, pattern, panels, a word, pictures, small print."""
    ground = colours[0]
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    flavour = variant.permutation(4)
    if family.random() < 0.75:
        top, bottom = sorted(int(height * v) for v in family.uniform(0, 1, 2))
        box = (0, 0, width, height) if family.random() < 0.5 else (0, top, width, max(bottom, top + height // 4))
        pattern(draw, family, box, colours[1 + flavour[0] % 2] if family.random() < 0.5 else colours[1], colours[3])
    rows = int(family.integers(2, 5))
    edges = np.linspace(0.04, 0.96, rows + 1)
    word_row = int(family.integers(rows))
    for row in range(rows):
        y0, y1 = int(edges[row] * height), int(edges[row + 1] * height) - 3
        inset = int(width * family.uniform(0.03, 0.2))
        panel = colours[family.integers(1, 6)]
        bare = family.random() < 0.35
        if not bare:
            shape = family.integers(3)
            corner = int(min(y1 - y0, width) * (0.0, 0.2, 0.45)[shape])
            draw.rounded_rectangle([inset, y0, width - inset, y1], corner, fill=panel)
        on = ground if bare else panel
        if row == word_row:
            ink, count, bold = _ink(family, colours, on), int(family.integers(3, 7)), family.uniform(0.14, 0.32)
            margin = int((y1 - y0) * 0.2)
            letters(draw, variant, (inset + 6, y0 + margin, width - inset - 6, y1 - margin), ink, count, bold)
        elif family.random() < 0.75:
            size = min(y1 - y0, width - 2 * inset) * 0.5
            places = 1 if family.random() < 0.65 else 2
            inks = [colours[1 + k] for k in flavour]
            inks[0] = inks[0] if inks[0] != on else _ink(variant, colours, on)
            picture = PICTURES[variant.integers(len(PICTURES))]
            for k in range(places):
                picture(draw, variant, width * (k + 1) / (places + 1), (y0 + y1) / 2, size, inks)
        else:
            lines_of_text(draw, variant, (inset + 4, y0 + 4, width - inset - 4, y1 - 4), _ink(family, colours, on))
    return image
