"""Streams, colours, basic figures and repeated patterns of the procedural benchmark."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

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


def disc(draw: Draw, cx: float, cy: float, radius: float, fill: Colour | int, squeeze: float = 1.0) -> None:
    """Filled ellipse around a centre; `squeeze` is height over width."""
    ry = radius * squeeze
    draw.ellipse([round(cx - radius), round(cy - ry), round(cx + radius), round(cy + ry)], fill=fill)


def sunburst(draw: Draw, cx: float, cy: float, radius: float, rays: int, fill: Colour, gap: float = 1.0) -> None:
    """Rays from a centre, as wide as the gaps between them; `gap` is the second corner's distance over the first's."""
    rim = star(cx, cy, radius, rays, gap)
    for i in range(0, 2 * rays, 2):
        draw.polygon([(round(cx), round(cy)), rim[i], rim[i + 1]], fill=fill)


def pattern(draw: Draw, rng: Rng, box: Sequence[int], ink: Colour, other: Colour) -> None:
    """Fills `box` = (x0, y0, x1, y1) with one of ten repeated patterns, drawn over what is there."""
    x0, y0, x1, y1 = box
    size = max(x1 - x0, y1 - y0)
    step = max(6, int(size / rng.integers(4, 13)))
    kind, thin = int(rng.integers(10)), max(2, int(step * rng.uniform(0.15, 0.6)))
    slope = int(rng.integers(-2, 3))
    grid = [(x, y) for y in range(y0, y1 + step, step) for x in range(x0, x1 + step, step)]
    if kind == 0:
        for x in range(x0 - 2 * size, x1 + 2 * size, step):
            draw.line([(x, y0), (x + slope * (y1 - y0) // 2, y1)], fill=ink, width=thin)
    elif kind == 1:
        for y in range(y0, y1, step):
            draw.rectangle([x0, y, x1, y + thin], fill=ink)
    elif kind == 2:
        for x, y in grid:
            disc(draw, x + (step // 2) * ((y - y0) // step % 2), y, thin * 0.7, ink)
    elif kind == 3:
        for x, y in grid:
            if ((x - x0) // step + (y - y0) // step) % 2:
                draw.rectangle([x, y, x + step, y + step], fill=ink)
    elif kind == 4:
        for y in range(y0 - step, y1 + step, step):
            zigzag = [(x0 + i * step // 2, y + (i % 2) * step // 2) for i in range(2 * size // step + 3)]
            draw.line(zigzag, fill=ink, width=thin, joint="curve")
    elif kind == 7:
        for x in range(x0, x1, step):
            draw.rectangle([x, y0, x + thin, y1], fill=ink)
        for y in range(y0, y1, step):
            draw.rectangle([x0, y, x1, y + thin // 2], fill=other)
    else:
        _loose_pattern(kind, draw, rng, box, (ink, other), step, thin)


def _loose_pattern(
    kind: int, draw: Draw, rng: Rng, box: Sequence[int],
    inks: tuple[Colour, Colour], step: int, thin: int,
) -> None:  # fmt: skip
    """Rays, rings, confetti or a wave: what lies anywhere in the box."""
    x0, y0, x1, y1 = box
    size = max(x1 - x0, y1 - y0)
    if kind == 5:
        sunburst(draw, *_point_in(box, rng), 3.0 * size, int(rng.integers(6, 15)), inks[0])
    elif kind == 6:
        cx, cy = _point_in(box, rng)
        for i in range(2 * size // step, 0, -1):
            disc(draw, cx, cy, i * step / 2, inks[(i + 1) % 2])
    elif kind == 8:
        for _ in range(int(rng.integers(20, 60))):
            corners = star(*_point_in(box, rng), thin, int(rng.integers(3, 6)), 0.5, rng.uniform(0, 6))
            draw.polygon(corners, fill=inks[0])
    else:
        edge = y0 + (y1 - y0) * rng.uniform(0.2, 0.8)
        swing, waves = size * rng.uniform(0.03, 0.12), rng.uniform(0.5, 2.5)
        crest = [(x, round(edge + swing * math.sin(waves * 6.3 * (x - x0) / size))) for x in range(x0, x1 + 4, 4)]
        draw.polygon([*crest, (x1 + 4, y1 + 4), (x0 - 4, y1 + 4)], fill=inks[0])


def _point_in(box: Sequence[int], rng: Rng) -> Point:
    return float(rng.integers(box[0], box[2])), float(rng.integers(box[1], box[3]))
