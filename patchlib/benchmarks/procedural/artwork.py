"""Flat artwork of the procedural objects: lettering, pictures, whole labels.

Everything is drawn with integer coordinates by Pillow from keyed random streams, so that the same key gives the same
bytes on every machine. A *family* stream decides what siblings share (layout, colours, pattern), a *variant* stream
what tells them apart (lettering, pictures, one colour).
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from patchlib.benchmarks.procedural.patterns import Colour, Draw, Pen, Rng, pattern, star

WHITE, BLACK = (250, 250, 250), (20, 20, 24)


def _ink(rng: Rng, colours: Sequence[Colour], ground: Colour) -> Colour:
    """A colour of the palette that can be read on `ground`."""
    readable = [c for c in colours if sum(abs(a - b) for a, b in zip(c, ground, strict=True)) > 150]
    return readable[rng.integers(len(readable))] if readable else (255, 255, 255) if sum(ground) < 380 else BLACK


def letters(draw: Draw, rng: Rng, box: Sequence[int], ink: Colour, count: int, bold: float) -> None:
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


def _fruit(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    for dx, dy in ((-0.35, 0.15), (0.35, 0.2), (0.0, -0.25))[: rng.integers(1, 4)]:
        pen.disc(dx, dy, 0.5, c[0])
        pen.disc(dx - 0.15, dy - 0.15, 0.16, c[1])
    pen.star(0.2, -0.7, 0.35, 2, 0.35, 0.6, c[2])


def _citrus(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    pen.disc(0, 0, 0.8, c[0])
    pen.disc(0, 0, 0.68, c[1])
    pen.rays(0, 0, 0.6, int(rng.integers(5, 10)), c[0], gap=0.96)


def _face(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    ear = rng.uniform(0.25, 0.45)
    for side in (-0.5, 0.5):
        pen.disc(side, -0.55, ear, c[2])
    pen.disc(0, 0, 0.7, c[0], rng.uniform(0.75, 1.1))
    eye = rng.uniform(0.09, 0.2)
    for side in (-0.28, 0.28):
        pen.disc(side, -0.12, eye, WHITE)
        pen.disc(side, -0.1, eye * 0.55, BLACK)
    pen.disc(0, 0.25, rng.uniform(0.12, 0.3), c[1], 0.6)


def _flower(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    petals = int(rng.integers(4, 9))
    for x, y in star(pen.x, pen.y, 0.5 * pen.size, petals, 1.0)[::2]:
        Pen(pen.draw).disc(x, y, pen.size * 1.4 / petals, c[0])
    pen.disc(0, 0, 0.3, c[1])


def _fish(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    flip = 1 if rng.random() < 0.5 else -1
    pen.disc(0, 0, 0.7, c[0], rng.uniform(0.4, 0.7))
    pen.polygon([(-flip * 0.5, 0), (-flip, -0.4), (-flip, 0.4)], c[2])
    pen.disc(flip * 0.4, -0.1, 0.1, c[1])


def _emblem(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    pen.disc(0, 0, 0.85, c[1])
    points, inner = int(rng.integers(3, 10)), rng.uniform(0.3, 0.9)
    pen.star(0, 0, 0.7, points, inner, rng.uniform(0, 6.3), c[0])
    if rng.random() < 0.5:
        pen.disc(0, 0, 0.2, c[2])


def _mosaic(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    cell, left, top = pen.size * 0.3, pen.x - 0.75 * pen.size, pen.y - 0.75 * pen.size
    on = rng.random((5, 3)) < 0.55
    for j in range(5):
        for i in range(5):
            x, y = round(left + i * cell), round(top + j * cell)
            fill = c[0] if on[j, min(i, 4 - i)] else c[1]
            pen.draw.rectangle([x, y, round(x + cell), round(y + cell)], fill=fill)


def _scenery(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    (left, top), (right, bottom) = pen.at(-0.9, -0.7), pen.at(0.9, 0.7)
    pen.draw.rectangle([left, top, right, bottom], fill=c[1])
    pen.disc(rng.uniform(-0.5, 0.5), -0.3, 0.2, c[2])
    for _ in range(int(rng.integers(1, 4))):
        x, y = pen.at(rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.3))
        slope = round(0.6 * pen.size)
        pen.draw.polygon([(x, y), (max(left, x - slope), bottom), (min(right, x + slope), bottom)], fill=c[0])


def _glass(pen: Pen, rng: Rng, c: Sequence[Colour]) -> None:
    level, taper = rng.uniform(-0.5, 0.1), rng.uniform(0.3, 0.5)
    pen.polygon([(-0.5, -0.8), (0.5, -0.8), (taper, 0.8), (-taper, 0.8)], c[1])
    pen.polygon([(-0.44, level), (0.44, level), (taper * 0.85, 0.72), (-taper * 0.85, 0.72)], c[0])


PICTURES: tuple[Callable[[Pen, Rng, Sequence[Colour]], None], ...] = (
    _fruit, _citrus, _face, _flower, _fish, _emblem, _mosaic, _scenery, _glass,
)  # fmt: skip


def lines_of_text(draw: Draw, rng: Rng, box: Sequence[int], ink: Colour) -> None:
    """Small print: rows of short dashes."""
    x0, y0, x1, y1 = box
    for y in range(y0, y1, 7):
        x = x0
        while x < x1:
            dash = int(rng.integers(3, 14))
            draw.rectangle([x, y, min(x + dash, x1), y + 2], fill=ink)
            x += dash + 4


def label(family: Rng, variant: Rng, width: int, height: int, colours: list[Colour]) -> Image.Image:
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
        on, panel = ground, colours[family.integers(1, 6)]
        if family.random() >= 0.35:
            on, corner = panel, int(min(y1 - y0, width) * (0.0, 0.2, 0.45)[family.integers(3)])
            draw.rounded_rectangle([inset, y0, width - inset, y1], corner, fill=panel)
        if row == word_row:
            ink, count, bold = _ink(family, colours, on), int(family.integers(3, 7)), family.uniform(0.14, 0.32)
            margin = int((y1 - y0) * 0.2)
            letters(draw, variant, (inset + 6, y0 + margin, width - inset - 6, y1 - margin), ink, count, bold)
        elif family.random() < 0.75:
            size = min(y1 - y0, width - 2 * inset) * 0.5
            copies = 1 if family.random() < 0.65 else 2
            inks = [colours[1 + k] for k in flavour]
            inks[0] = inks[0] if inks[0] != on else _ink(variant, colours, on)
            picture = PICTURES[variant.integers(len(PICTURES))]
            for k in range(copies):
                picture(Pen(draw, width * (k + 1) / (copies + 1), (y0 + y1) / 2, size), variant, inks)
        else:
            lines_of_text(draw, variant, (inset + 4, y0 + 4, width - inset - 4, y1 - 4), _ink(family, colours, on))
    return image
