"""Settings of a procedural benchmark, and what follows from them before anything is drawn."""

import functools
import math
from dataclasses import dataclass

from patchlib.benchmarks.procedural.patterns import stream

BLOCK = 100_000  # object seeds of one benchmark seed: the first half for instances, the second for clutter
TRAINING_SEED = 1_000_000  # benchmarks have smaller seeds, what encoders are trained on has this one
RANGES = ("area", "clutter", "quality")  # settings of a smallest and a largest value
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, TRAINING_SEED),
    "instances": (1, BLOCK // 2),
    "positives": (1, 10_000),
    "distractors": (0, 10_000_000),
    **dict.fromkeys(("siblings", "occlusion", "second", "blur"), (0, 1)),
    **dict.fromkeys(("perspective", "lighting"), (0, 1.5)),
    "area": (0.001, 0.7),
    "clutter": (0, 40),
    "quality": (5, 95),
}
_LAYOUT = 13  # first key of the design's streams


@dataclass(frozen=True, kw_only=True)
class ProceduralConfig:
    """Settings of a procedural benchmark; every field takes part in its name on disk.

    Raises:
        ValueError: an impossible value; names it and says what is expected.
    """

    # 0 .. 999,999 (1,000,000 is what the built-in encoders are trained on); other seeds have other objects, other
    # scenes and the same statistics
    seed: int = 0
    instances: int = 160  # number of instances, each with one query
    positives: int = 8  # database images per instance
    distractors: int = 520  # database images that show no instance
    # share of the instances that have one or two hard siblings (as near as groups of 2 and 3 allow)
    siblings: float = 0.25
    # smallest and largest area of the instance's box before occlusion, as shares of the image; the positives of every
    # instance are spread evenly over its logarithm
    area: tuple[float, float] = (0.005, 0.7)
    clutter: tuple[int, int] = (1, 7)  # fewest and most other objects in a scene
    occlusion: float = 0.3  # share of the positives in which another object hides a part of the instance (at most 40 %)
    second: float = 0.08  # share of the positives that show the instance twice
    perspective: float = 1.0  # strength of turns and tilts; 0 = frontal and upright
    lighting: float = 1.0  # strength of uneven light, colour cast, exposure, contrast and grain; 0 = none
    blur: float = 0.25  # share of blurred images
    quality: tuple[int, int] = (55, 92)  # lowest and highest JPEG quality
    # the position-controlled set: the centre distance runs evenly from 0 to 0.5 half diagonals at the same areas, which
    # free scenes do not allow
    controlled: bool = False

    def __post_init__(self) -> None:
        for name in RANGES:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            ends = value if name in RANGES else (value, value)
            if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
                expected = f"{'two ascending values, each ' if name in RANGES else ''}{low} to {high}"
                raise ValueError(f"procedural benchmark: {name} is {value!r}, expected {expected}")
        if self.controlled and self.area[1] > 0.2:
            raise ValueError(
                f"procedural benchmark: area is {self.area}; a position-controlled set needs at most 0.2, "
                "as larger boxes cannot lie far from the centre. Try area=(0.12, 0.2)"
            )

    def objects(self) -> tuple[tuple[int, int], ...]:
        """(object seed, variant) of every instance; siblings share the seed and stand side by side."""
        return _objects(self)


@functools.lru_cache(maxsize=8)
def _objects(config: ProceduralConfig) -> tuple[tuple[int, int], ...]:
    wanted = round(config.siblings * config.instances)
    groups: list[int] = []
    while wanted >= 2:
        groups.append(3 if wanted == 3 or (wanted > 4 and len(groups) % 2) else 2)
        wanted -= groups[-1]
    groups += [1] * (config.instances - sum(groups))
    order = stream(_LAYOUT, config.seed).permutation(len(groups))
    first = config.seed * BLOCK
    return tuple((first + family, v) for family, k in enumerate(order) for v in range(groups[k]))


def design(config: ProceduralConfig, instance: int, number: int) -> tuple[float, float]:
    """Area and place of a positive: strata of log-area and of the way from centre to corner, in independent order."""
    rng, count = stream(_LAYOUT, config.seed, instance), config.positives
    areas, places = rng.permutation(count), rng.permutation(count)
    jitter = rng.random((count, 2))
    row = number % count
    low, high = (math.log(v) for v in config.area)
    area = math.exp(low + (high - low) * (areas[row] + jitter[row, 0]) / count)
    return area, float((places[row] + jitter[row, 1]) / count)
