"""A scene while it is painted, with the account of which pixels show the instance, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from patchlib.benchmarks.procedural.camera import paste


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: RGB.
        boxes: (B, 4) int64 xyxy pixels of the visible part of the instance, one row per appearance; (0, 4) for a
            distractor image.
        visible: (B,) share of the instance's pixels that can be seen, 0..1.
        place: what the scene shows, one of ``PLACES``.
    """

    image: Image.Image
    boxes: NDArray[np.int64]
    visible: NDArray[np.float64]
    place: str


@dataclass
class Canvas:
    """The picture being painted, and which pixels show which appearance of the instance."""

    image: Image.Image
    light: tuple[int, int]
    stands: list[int]
    masks: list[Image.Image] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    def add(self, sprite: Image.Image, x: int, y: int, instance: bool = False) -> None:
        grounded = any(abs(y + sprite.height - s) <= 2 for s in self.stands) or (
            len(self.stands) == 1 and y + sprite.height >= self.stands[0]
        )
        paste(self.image, sprite, x, y, self.light, standing=grounded)
        solid = Image.new("L", self.image.size, 0)
        solid.paste(sprite.getchannel("A").point([0] * 128 + [255] * 128), (x, y))
        self.masks = [ImageChops.subtract(mask, solid) for mask in self.masks]
        if instance:
            self.masks.append(solid)
            self.totals.append(solid.histogram()[255])

    def hidden_shares(self) -> list[float]:
        """Share of each appearance that is hidden."""
        return [1 - mask.histogram()[255] / total for mask, total in zip(self.masks, self.totals, strict=True)]

    def hidden(self, sprite: Image.Image, x: int, y: int) -> tuple[float, float]:
        """Largest share of an appearance that is hidden, and that would be after pasting `sprite`."""
        box = (x, y, x + sprite.width, y + sprite.height)
        now = self.hidden_shares()
        more = [mask.crop(box).histogram()[255] / total for mask, total in zip(self.masks, self.totals, strict=True)]
        return max(now), max(a + b for a, b in zip(now, more, strict=True))
