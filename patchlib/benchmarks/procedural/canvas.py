"""A scene while it is painted: shadows, which pixels show the instance, and at last the camera.

All of it is done in Pillow's integer operations.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from patchlib.benchmarks.procedural.patterns import Rng, stream

SOLID = [0] * 128 + [255] * 128  # of an alpha channel, for Image.point
_GRAIN = 8  # first key of the grain's streams


class Placed(NamedTuple):
    """A sprite (RGBA) and where its upper left corner stands, pixels."""

    sprite: Image.Image
    x: int
    y: int

    @property
    def base(self) -> int:
        """Height at which it stands."""
        return self.y + self.sprite.height


@dataclass
class Canvas:
    """The picture being painted, and which pixels show which appearance of the instance."""

    image: Image.Image  # RGB
    light: tuple[int, int]  # direction of the shadows, as :func:`paste` has it
    stands: list[int]  # heights that things stand on: none, a horizon, or boards
    # per appearance of the instance, what of it can still be seen
    masks: list[Image.Image] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)  # solid pixels of each appearance

    def add(self, piece: Placed, instance: bool = False) -> None:
        grounded = any(abs(piece.base - stand) <= 2 for stand in self.stands)
        grounded |= len(self.stands) == 1 and piece.base >= self.stands[0]
        paste(self.image, piece, self.light, standing=grounded)
        solid = Image.new("L", self.image.size, 0)
        solid.paste(piece.sprite.getchannel("A").point(SOLID), (piece.x, piece.y))
        self.masks = [ImageChops.subtract(mask, solid) for mask in self.masks]
        if instance:
            self.masks.append(solid)
            self.totals.append(solid.histogram()[255])

    def hidden_shares(self) -> list[float]:
        """Share of each appearance that is hidden."""
        return [1 - mask.histogram()[255] / total for mask, total in zip(self.masks, self.totals, strict=True)]

    def hidden(self, piece: Placed) -> tuple[float, float]:
        """Largest share of an appearance that is hidden, and that would be after adding a piece."""
        box = (piece.x, piece.y, piece.x + piece.sprite.width, piece.base)
        now = self.hidden_shares()
        more = [mask.crop(box).histogram()[255] / total for mask, total in zip(self.masks, self.totals, strict=True)]
        return max(now), max(a + b for a, b in zip(now, more, strict=True))


def paste(image: Image.Image, piece: Placed, light: tuple[int, int], standing: bool = False) -> None:
    """Paints a sprite with its shadow: on the ground if it stands, else on what is behind it.

    ``light``: direction of the shadow, in 32nds of the sprite's size to the right and down.
    """
    sprite, x, y = piece
    wide, high = sprite.size
    dx, dy = wide * light[0] // 32, high * light[1] // 32
    margin = max(2, max(wide, high) // 8)
    shrink = 4 if min(wide, high) > 60 else 1
    shade = Image.new("L", ((wide + 2 * margin) // shrink + 1, (high + 2 * margin) // shrink + 1), 0)
    if standing:
        flat, low, lean = max(2, wide // 9), (high + margin) // shrink, dx // (2 * shrink)
        left, right = margin // shrink + lean, (margin + wide) // shrink + lean
        ImageDraw.Draw(shade).ellipse([left, low - flat // shrink, right, low + flat // (2 * shrink)], fill=170)
        dx = dy = 0
    else:
        mask = sprite.getchannel("A")
        mask = mask.reduce(shrink) if shrink > 1 else mask
        shade.paste(mask.point([v * 5 // 9 for v in range(256)]), (margin // shrink, margin // shrink))
    shade = shade.filter(ImageFilter.BoxBlur(max(1, margin // (3 * shrink))))
    if shrink > 1:
        shade = shade.resize((shade.width * shrink, shade.height * shrink), Image.Resampling.BILINEAR)
    image.paste((12, 10, 16), (x - margin + dx, y - margin + dy), shade)
    image.paste(sprite, (x, y), sprite)


@functools.lru_cache(maxsize=2)
def _grain(index: int) -> Image.Image:
    values = stream(_GRAIN, index).normal(128, 26, (512, 512, 3))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def photograph(
    image: Image.Image, rng: Rng, lighting: float, blur: float, brightness: float | None = None
) -> Image.Image:
    """What a camera makes of a painted scene: uneven light, colour cast, exposure, contrast, blur, grain.

    Args:
        rng: stream of the camera.
        lighting: strength of light, cast, exposure and contrast; 0 = none, 1 = the benchmark's.
        blur: probability of a visible blur.
        brightness: factor to put in the place of the drawn exposure, None = as drawn.
    """
    spread = rng.integers(150, 256, (5, 5), dtype=np.uint8).astype(np.int64)
    slope = np.add.outer(*(np.arange(5) * int(rng.integers(-14, 15)) for _ in range(2)))
    lamp = np.clip(spread + slope - slope.max() // 2, 90, 255)
    lamp = np.rint(255 - (255 - lamp) * lighting).astype(np.uint8)
    light = Image.fromarray(lamp).resize(image.size, Image.Resampling.BICUBIC)
    cast, exposure = rng.uniform(-0.12, 0.12, 3) * lighting, math.exp(rng.uniform(-0.3, 0.3) * lighting)
    contrast, soft, radius = 1 + rng.uniform(-0.3, 0.25) * lighting, rng.random(), rng.uniform(0.5, 1.6)
    gain = 1.32 * (exposure if brightness is None else brightness)
    image = ImageChops.multiply(image, Image.merge("RGB", (light,) * 3))
    values = np.arange(256)[None] * (gain * (1 + cast))[:, None]
    table = np.clip(np.rint((values - 118) * contrast + 118), 0, 255).astype(int)
    image = image.point(table.ravel().tolist())
    if soft < blur:
        image = image.filter(ImageFilter.BoxBlur(round(float(radius), 2)))
    x, y = (int(v) for v in rng.integers(0, 512 - 384, 2))
    grain = _grain(int(rng.integers(2))).crop((x, y, x + image.width, y + image.height))
    strength = rng.uniform(0.02, 0.35) * lighting
    grain = Image.blend(Image.new("RGB", image.size, (128, 128, 128)), grain, round(float(strength), 3))
    return ImageChops.add(image, grain, 1, -128)
