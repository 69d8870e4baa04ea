"""What the small encoders are trained on: prepared pictures, and views put together from them on the fly.

Pictures of objects and patches of scenes are rendered once; every step then places objects in patches anew: other size,
place, turn, clutter, occluder, light.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from patchlib.benchmarks.procedural.config import BLOCK, TRAINING_SEED, ProceduralConfig
from patchlib.benchmarks.procedural.objects import make_object, render
from patchlib.benchmarks.procedural.patterns import stream
from patchlib.benchmarks.procedural.scenes import make_scene
from patchlib.support import progress, provenance

CANVAS = 96  # pixels of a prepared picture of an object
MEAN, STD = (0.5, 0.5, 0.5), (0.27, 0.27, 0.27)  # of the encoders' inputs


@dataclass(frozen=True)
class TrainingSet:
    """Prepared pictures."""

    objects: NDArray[np.uint8]  # (I, V, 96, 96, 4) uint8 RGBA, V views of I instances
    scenes: NDArray[np.uint8]  # (S, side, side, 3) uint8 patches of scenes that show no instance


def object_key(index: int) -> tuple[int, int]:
    """(object seed, variant) of a training instance: of every four, the first two are siblings."""
    group, place = divmod(index, 4)
    return TRAINING_SEED * BLOCK + 3 * group + max(0, place - 1), int(place == 1)


def prepare_objects(first: int, last: int, views: int = 5) -> NDArray[np.uint8]:
    """Pictures of the training instances `first` to `last` - 1 from several sides: (I, views, 96, 96, 4) uint8."""
    out = np.zeros((last - first, views, CANVAS, CANVAS, 4), np.uint8)
    for i in range(first, last):
        item, rng = make_object(*object_key(i)), stream(31, i)
        for v in range(views):
            yaw = -40 + 80 * (v + rng.random()) / views
            sprite = render(item, yaw, rng.uniform(-4, 32), side=CANVAS * 0.8)
            sprite.thumbnail((CANVAS - 4, CANVAS - 4), reducing_gap=None)
            x, y = ((CANVAS - s) // 2 for s in sprite.size)
            out[i - first, v, y : y + sprite.height, x : x + sprite.width] = np.asarray(sprite)
    return out


def prepare_scenes(first: int, last: int, side: int = 80, per_scene: int = 4) -> NDArray[np.uint8]:
    """Random patches of scenes without instances: ((last - first) * per_scene, side, side, 3) uint8."""
    config = ProceduralConfig(seed=TRAINING_SEED, instances=1)
    out = []
    for i in range(first, last):
        image, rng = make_scene(config, None, i).image, stream(32, i)
        for k in range(per_scene):
            share = (0.2, 0.34, 0.55, 1.0)[k % 4]
            w, h = (max(side // 2, round(s * share)) for s in image.size)
            x, y = (int(rng.integers(0, s - t + 1)) for s, t in zip(image.size, (w, h), strict=True))
            out.append(np.asarray(image.resize((side, side), box=(x, y, x + w, y + h), reducing_gap=2.0)))
    return np.stack(out)


def prepare(folder: Path, instances: int, scenes: int = 3000) -> TrainingSet:
    """The training set on disk, made on first use (two minutes at the default size).

    Args:
        folder: where ``objects-<instances>.npy`` and ``scenes-<scenes>.npy`` go.
        scenes: scenes that four patches each are cut from.
    """
    return TrainingSet(
        _prepared(folder / f"objects-{instances}.npy", prepare_objects, instances),
        _prepared(folder / f"scenes-{scenes}.npy", prepare_scenes, scenes),
    )


def _prepared(path: Path, make: Callable[[int, int], NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """The array of a file, made if it is absent, mapped into memory."""
    if not path.exists():
        blocks = []
        with progress.track(f"preparing {path.stem}", count) as bar:
            for start in range(0, count, 100):
                blocks.append(make(start, min(start + 100, count)))
                bar.update(min(100, count - start))
        with provenance.atomic_write(path) as file:
            np.save(file, np.concatenate(blocks))
    return np.load(path, mmap_mode="r")


@dataclass
class Composer:
    """Puts batches of views together on a device."""

    pictures: TrainingSet
    instances: int  # how many of its instances are used, the first ones
    side: int  # of the views, pixels
    device: str
    generator: torch.Generator  # on the device
    rng: np.random.Generator

    def uniform(self, count: int, low: float, high: float) -> torch.Tensor:
        """`count` uniform draws."""
        return torch.rand(count, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal draws."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def _take(self, instances: NDArray[np.int64]) -> torch.Tensor:
        """One random view of each instance: (B, 4, 96, 96) float, colours multiplied by alpha."""
        views = self.rng.integers(0, self.pictures.objects.shape[1], len(instances))
        picked = torch.from_numpy(self.pictures.objects[instances, views]).to(self.device)
        picked = picked.permute(0, 3, 1, 2).float().div_(255)
        picked[:, :3] *= picked[:, 3:]
        return picked

    def _ground(self, count: int) -> torch.Tensor:
        rows = self.rng.integers(0, len(self.pictures.scenes), count)
        patches = torch.from_numpy(self.pictures.scenes[rows]).to(self.device).permute(0, 3, 1, 2).float().div_(255)
        if patches.shape[-1] != self.side:
            patches = interpolate(patches, self.side, mode="bilinear")
        return patches.flip(-1) if self.rng.random() < 0.5 else patches

    def place(
        self,
        objects: torch.Tensor,
        scale: torch.Tensor,
        x: torch.Tensor,
        y: torch.Tensor,
        roll: torch.Tensor,
        stretch: float,
    ) -> torch.Tensor:
        """Objects scaled, stretched, tilted, rolled (radians) and moved: (B, 4, side, side), premultiplied.

        `scale` 1 fills the view with the picture; x and y in -1..1 of the view.
        """
        count, side = len(objects), self.side
        axis = (torch.arange(side, device=self.device) * 2 + 1) / side - 1
        gy, gx = torch.meshgrid(axis, axis, indexing="ij")
        aspect = torch.exp(self.uniform(count, -stretch, stretch))
        cos, sin = torch.cos(roll), torch.sin(roll)
        px = (gx[None] - x.view(-1, 1, 1)) / (scale * aspect).view(-1, 1, 1)
        py = (gy[None] - y.view(-1, 1, 1)) / (scale / aspect).view(-1, 1, 1)
        depth = (
            1
            + self.uniform(count, -0.15, 0.15).view(-1, 1, 1) * px
            + self.uniform(count, -0.15, 0.15).view(-1, 1, 1) * py
        )
        u = (cos.view(-1, 1, 1) * px + sin.view(-1, 1, 1) * py) / depth
        v = (cos.view(-1, 1, 1) * py - sin.view(-1, 1, 1) * px) / depth
        grid = torch.stack([u, v], -1).clamp(-4, 4)
        out = torch.empty(count, 4, side, side, device=self.device)
        level = (scale < 0.6).long() + (scale < 0.3).long()
        for k in range(3):
            rows = (level == k).nonzero()[:, 0]
            if len(rows):
                source = avg_pool2d(objects[rows], 2**k) if k else objects[rows]
                out[rows] = grid_sample(source, grid[rows], mode="bilinear", align_corners=False)
        return out

    def queries(self, instances: NDArray[np.int64]) -> torch.Tensor:
        """Views as in a query: the whole object, upright, on a plain light ground."""
        n, side = len(instances), self.side
        ground = self.uniform(n, 0.72, 1.0).view(-1, 1, 1, 1) + 0.015 * self.normal(n, 3, 1, 1)
        put = self.place(
            self._take(instances),
            self.uniform(n, 0.76, 0.98),
            self.uniform(n, -0.06, 0.06),
            self.uniform(n, -0.06, 0.06),
            0.1 * self.normal(n),
            0.05,
        )
        return self.photometric(put[:, :3] + ground.expand(n, 3, side, side) * (1 - put[:, 3:]), 0.35)

    def patches(self, instances: NDArray[np.int64]) -> torch.Tensor:
        """Views as in a patch of a scene: any size, cut by the border, turned, before clutter, behind an occluder."""
        n = len(instances)
        tight = self.uniform(n, 0, 1) < 0.4
        scale = torch.where(tight, self.uniform(n, 0.7, 1.1), torch.exp(self.uniform(n, math.log(0.2), math.log(1.6))))
        reach = torch.where(tight, 0.1 * torch.ones_like(scale), (1.05 - 0.5 * scale).clamp(min=0.3))
        x, y = self.uniform(n, -1, 1) * reach, self.uniform(n, -1, 1) * reach
        lying = self.uniform(n, 0, 1) < 0.35
        roll = torch.where(lying, self.uniform(n, -1.3, 1.3), 0.15 * self.normal(n))
        put = self.place(self._take(instances), scale, x, y, roll, 0.3)
        others = self._take(self.rng.integers(0, self.instances, n))
        front = self.uniform(n, 0, 1) < 0.35
        size = torch.where(front, scale * self.uniform(n, 0.35, 0.65), self.uniform(n, 0.15, 0.8))
        away = self.uniform(n, 0, 2 * math.pi)
        ox = torch.where(front, x + scale * 0.8 * torch.cos(away), self.uniform(n, -1.1, 1.1))
        oy = torch.where(front, y + scale * 0.8 * torch.sin(away), self.uniform(n, -1.1, 1.1))
        other = self.place(others, size, ox, oy, 0.3 * self.normal(n), 0.2)
        other = other * ((self.uniform(n, 0, 1) < 0.6) | front).view(-1, 1, 1, 1)
        shadow = interpolate(avg_pool2d(put[:, 3:].roll((3, 2), (2, 3)), 8), self.side, mode="bilinear")
        scene = self._ground(n) * (1 - 0.5 * shadow)
        behind, before = (torch.where(m.view(-1, 1, 1, 1), other, torch.zeros_like(other)) for m in (~front, front))
        for layer in (behind, put, before):
            scene = layer[:, :3] + scene * (1 - layer[:, 3:])
        return self.blurred(self.photometric(scene, 1.0))

    def photometric(self, x: torch.Tensor, strength: float) -> torch.Tensor:
        """Exposure, cast, saturation, contrast, uneven light and grain, all scaled by `strength`."""
        n, side = len(x), x.shape[-1]
        axis = torch.linspace(-1, 1, side, device=self.device)
        slope = self.uniform(2 * n, -0.3 * strength, 0.3 * strength).view(2, n, 1, 1, 1)
        x = x * (1 + slope[0] * axis.view(1, 1, -1, 1) + slope[1] * axis)
        # everything else is one 3 x 3 matrix and an offset per view
        gain = torch.exp(0.33 * strength * self.normal(n, 1, 1)) * (1 + 0.08 * strength * self.normal(n, 3, 1))
        saturation = torch.exp(0.25 * strength * self.normal(n, 1, 1))
        contrast = torch.exp(0.25 * strength * self.normal(n, 1, 1))
        mixing = saturation * torch.eye(3, device=self.device) + (1 - saturation) / 3
        matrix = contrast * gain * mixing
        middle = x[..., ::4, ::4].mean((1, 2, 3)).view(n, 1, 1) * gain.mean(1, keepdim=True)
        flat = torch.baddbmm((1 - contrast) * middle, matrix, x.flatten(2))
        grain = self.normal(-(-n // 4), 3, side * side).repeat(4, 1, 1)[:n]
        flat.addcmul_(grain, self.uniform(n, 0, 0.04 * strength).view(-1, 1, 1))
        return flat.clamp_(0, 1).view(n, 3, side, side)

    def blurred(self, x: torch.Tensor) -> torch.Tensor:
        """Lowers the resolution of a third of the views, as small objects and blurred photographs have it."""
        fate = self.uniform(len(x), 0, 1)
        for k, side in enumerate((20, 30, 45)):
            rows = ((fate > k * 0.11) & (fate < (k + 1) * 0.11)).nonzero()[:, 0]
            if len(rows):
                small = interpolate(x[rows], side, mode="area")
                x[rows] = interpolate(small, x.shape[-1], mode="bilinear", align_corners=False)
        return x

    def batch(self, count: int, empty: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch of `count` instances in fours, seen twice, and of `empty` patches.

        Returns:
            Normalised views (2 * count + empty, 3, side, side); labels (2 * count + empty,), < 0 for empty patches.
        """
        groups = self.rng.permutation(self.instances // 4)
        wanted = count // 4
        groups = np.resize(groups, wanted) if len(groups) < wanted else groups[:wanted]
        instances = (groups[:, None] * 4 + np.arange(4)).ravel()
        nothing = self.photometric(self._ground(empty), 1.0)
        views = torch.cat([self.queries(instances), self.patches(instances), nothing])
        labels = np.concatenate([instances, instances, -1 - np.arange(empty)])
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        return (views - mean) / std, torch.from_numpy(labels).to(self.device)
