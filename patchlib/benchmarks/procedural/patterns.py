"""Streams, colours, a pen and repeated patterns of the procedural benchmark."""

import colorsys
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw
Point = tuple[float, float]
Rng = np.random.Generator


def stream(*key: int) -> Rng:
    """Independent random stream of an integer key; the only source of randomness of the procedural benchmark."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Colour of a hue (turns), saturation and value (0..1) as 8-bit RGB."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def palette(rng: Rng) -> list[Colour]:
    """Six colours: ground, second, accent, third, light, dark. A third of the grounds is white-ish, some are dark."""
    hue = rng.random()
    spread = (0.5, 0.33, 0.08, 0.42, 0.2)[rng.integers(5)]
    main = hsv(hue, rng.uniform(0.3, 1), rng.uniform(0.4, 0.95))
    second = hsv(hue + spread, rng.uniform(0.2, 1), rng.uniform(0.3, 0.95))
    accent = hsv(hue - spread * 0.8, rng.uniform(0.5, 1), rng.uniform(0.6, 1))
    light = hsv(hue, rng.uniform(0, 0.15), rng.uniform(0.9, 1))
    dark = hsv(hue + 0.5, rng.uniform(0.1, 0.7), rng.uniform(0.08, 0.3))
    order = rng.random()
    if order < 0.35:
        return [light, main, accent, second, main, dark]
    if order < 0.45:
        return [dark, main, accent, second, light, light]
    return [main, second, accent, light, light, dark]


def star(cx: float, cy: float, radius: float, points: int, inner: float, phase: float = 0.0) -> list[Point]:
    """Corners of a star (or, with inner = 1, of a polygon), rounded to whole pixels."""
    corners: list[Point] = []
    for i in range(2 * points):
        angle, length = phase + math.pi * i / points, radius * (inner if i % 2 else 1.0)
        corners.append((round(cx + length * math.cos(angle) + 0.01), round(cy + length * math.sin(angle) + 0.01)))
    return corners


@dataclass(frozen=True)
class Pen:
    """Draws around a centre (x, y) in pixels; offsets and radii are in units of `size` pixels."""

    draw: Draw
    x: float = 0.0
    y: float = 0.0
    size: float = 1.0

    def at(self, dx: float, dy: float) -> Point:
        return round(self.x + dx * self.size), round(self.y + dy * self.size)

    def polygon(self, corners: Sequence[Point], fill: Colour) -> None:
        self.draw.polygon([self.at(*corner) for corner in corners], fill=fill)

    def disc(self, dx: float, dy: float, radius: float, fill: Colour | int, squeeze: float = 1.0) -> None:
        """Filled ellipse; `squeeze` is height over width."""
        x, y, rx = self.x + dx * self.size, self.y + dy * self.size, radius * self.size
        ry = rx * squeeze
        self.draw.ellipse([round(x - rx), round(y - ry), round(x + rx), round(y + ry)], fill=fill)

    def star(self, dx: float, dy: float, radius: float, points: int, inner: float, phase: float, fill: Colour) -> None:
        x, y = self.x + dx * self.size, self.y + dy * self.size
        self.draw.polygon(star(x, y, radius * self.size, points, inner, phase), fill=fill)

    def rays(self, dx: float, dy: float, radius: float, count: int, fill: Colour, gap: float = 1.0) -> None:
        """Rays as wide as the gaps between them; `gap` is the second corner's distance over the first's."""
        x, y = self.x + dx * self.size, self.y + dy * self.size
        rim = star(x, y, radius * self.size, count, gap)
        for i in range(0, 2 * count, 2):
            self.draw.polygon([(round(x), round(y)), rim[i], rim[i + 1]], fill=fill)


def pattern(draw: Draw, rng: Rng, box: Sequence[int], ink: Colour, other: Colour) -> None:
    """Fills `box` = (x0, y0, x1, y1) with one of ten repeated patterns, drawn over what is there."""
    x0, y0, x1, y1 = box
    size = max(x1 - x0, y1 - y0)
    step = max(6, int(size / rng.integers(4, 13)))
    kind, thin = int(rng.integers(10)), max(2, int(step * rng.uniform(0.15, 0.6)))
    slope = int(rng.integers(-2, 3))
    pen, columns, rows = Pen(draw), range(x0, x1 + step, step), range(y0, y1 + step, step)
    match kind:
        case 0:  # stripes
            for x in range(x0 - 2 * size, x1 + 2 * size, step):
                draw.line([(x, y0), (x + slope * (y1 - y0) // 2, y1)], fill=ink, width=thin)
        case 1:  # bars
            for y in range(y0, y1, step):
                draw.rectangle([x0, y, x1, y + thin], fill=ink)
        case 2:  # dots
            for (row, y), x in itertools.product(enumerate(rows), columns):
                pen.disc(x + step // 2 * (row % 2), y, thin * 0.7, ink)
        case 3:  # chequers
            for (row, y), (column, x) in itertools.product(enumerate(rows), enumerate(columns)):
                if (row + column) % 2:
                    draw.rectangle([x, y, x + step, y + step], fill=ink)
        case 4:  # zigzag
            for y in range(y0 - step, y1 + step, step):
                zigzag = [(x0 + i * step // 2, y + (i % 2) * step // 2) for i in range(2 * size // step + 3)]
                draw.line(zigzag, fill=ink, width=thin, joint="curve")
        case 5:  # rays
            pen.rays(*_point_in(box, rng), 3.0 * size, int(rng.integers(6, 15)), ink)
        case 6:  # rings
            centre = _point_in(box, rng)
            for i in range(2 * size // step, 0, -1):
                pen.disc(*centre, i * step / 2, (ink, other)[(i + 1) % 2])
        case 7:  # plaid
            for x in range(x0, x1, step):
                draw.rectangle([x, y0, x + thin, y1], fill=ink)
            for y in range(y0, y1, step):
                draw.rectangle([x0, y, x1, y + thin // 2], fill=other)
        case 8:  # confetti
            for _ in range(int(rng.integers(20, 60))):
                pen.star(*_point_in(box, rng), thin, int(rng.integers(3, 6)), 0.5, rng.uniform(0, 6), ink)
        case 9:  # a wave
            edge = y0 + (y1 - y0) * rng.uniform(0.2, 0.8)
            swing, waves = size * rng.uniform(0.03, 0.12), rng.uniform(0.5, 2.5)
            crest = [(x, round(edge + swing * math.sin(waves * 6.3 * (x - x0) / size))) for x in range(x0, x1 + 4, 4)]
            draw.polygon([*crest, (x1 + 4, y1 + 4), (x0 - 4, y1 + 4)], fill=ink)


def _point_in(box: Sequence[int], rng: Rng) -> Point:
    return float(rng.integers(box[0], box[2])), float(rng.integers(box[1], box[3]))
