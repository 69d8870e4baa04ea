"""One query at a time against a chosen benchmark, encoder, level and index: what the explorer asks, without widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchlib import benchmarks, encoders, features, images, metrics, profiles, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.features import cut
from patchlib.pq import index
from patchlib.studies import examples
from patchlib.support.suggest import unknown

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet
    from patchlib.profiles import Profile
    from patchlib.search import Ranking

INDEXES = ("exact", "PQ")
FINEST = 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to search in, and how.

    Attributes:
        benchmark: a name of :attr:`Workbench.profiles`.
        encoder: a name of the encoders' registry.
        level: 0..3.
        index: ``"exact"`` or ``"PQ"`` (IVFPQ; all lists are probed, so the codes are the only approximation).
    """

    benchmark: str
    encoder: str
    level: int = FINEST
    index: str = "exact"


@dataclass(frozen=True, eq=False)
class Answer:
    """One query and what was found.

    Attributes:
        name: of the query: its id, or the file of one's own photo.
        picture: what was described.
        descriptor: (D,) of the query.
        benchmark: what was searched.
        features: owner of the regions.
        ranking: (1, N) of all images.
        positives: (B,) right images with repetition, (B, 4) their boxes; None for one's own photo.
        scores: row of ``metrics.evaluate``; None for one's own photo or a query without positives.
    """

    name: str
    picture: Image.Image
    descriptor: NDArray[np.float32]
    benchmark: Benchmark
    features: FeatureSet
    ranking: Ranking
    positives: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    scores: pd.Series | None = None

    def is_right(self, image: int) -> bool | None:
        """Whether an image is a positive; None where nobody knows."""
        return None if self.positives is None else bool((self.positives[0] == image).any())

    def truth(self, image: int) -> NDArray[np.float32]:
        """(B, 4) known boxes of the object in an image."""
        if self.positives is None:
            return np.empty((0, 4), np.float32)
        boxes = self.positives[1][self.positives[0] == image]
        return boxes[~np.isnan(boxes).any(axis=1)]

    def patches(self, image: int) -> pd.DataFrame:
        """Scores of all regions of an image: :func:`patchlib.studies.examples.patch_scores`."""
        return examples.patch_scores(self.features, self.descriptor, image, self.truth(image))

    def summary(self) -> str:
        """One sentence: how good the ranking is, or that nobody knows."""
        if self.positives is None:
            return f"{self.name}: a photo of your own, so nobody knows which images are right."
        if self.scores is None:
            return f"{self.name}: no image of this benchmark is right."
        found = np.flatnonzero(np.isin(self.ranking.images[0], self.positives[0]) & (self.ranking.regions[0] >= 0)) + 1
        shown = int((found <= examples.SHOWN).sum())
        ranks = ", ".join(map(str, found[:20])) + (", ..." if len(found) > 20 else "")
        loc = self.scores["loc_score"]
        place = "no boxes" if np.isnan(loc) else f"LocScore {loc:.3f}"
        return (
            f"{self.name}: AP {self.scores['ap']:.3f}, {place}; {shown} of {self.scores['n_positives']:.0f} right "
            f"images among the first {examples.SHOWN}; all at ranks {ranks}."
        )


@dataclass(frozen=True, eq=False)
class Workbench:
    """Benchmarks, encoders, features and indexes, each made when first asked for and kept.

    Attributes:
        profiles: name of a benchmark -> the profile's settings for it, the default one first.
    """

    profiles: dict[str, Profile]
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, profile: str, **overrides: Any) -> Workbench:
        """All benchmarks of a profile. Arguments as of :func:`patchlib.profiles.load`."""
        first = profiles.load(profile, **overrides)
        others = [name for name in first.benchmarks if name != first.benchmark]
        return cls(
            {first.benchmark: first}
            | {name: profiles.load(profile, **overrides | {"benchmark": name}) for name in others}
        )

    @property
    def encoders(self) -> list[str]:
        """Names to choose from, the profile's own first."""
        first = next(iter(self.profiles.values()))
        return list(dict.fromkeys([first.encoder, *first.encoders]))

    @property
    def default(self) -> Choice:
        """The profile's benchmark and encoder, L3, exact."""
        return Choice(benchmark=next(iter(self.profiles)), encoder=self.encoders[0])

    def benchmark(self, name: str) -> Benchmark:
        """A benchmark, loaded once.

        Raises:
            ValueError: a name that is not in :attr:`profiles`.
            FileNotFoundError: it is not on this machine; the message says which command fetches it.
        """
        if name not in self.profiles:
            raise ValueError(unknown("benchmark", name, self.profiles))
        options = self.profiles[name].benchmark_options
        return self._once(("benchmark", name), lambda: benchmarks.load(name, **options))

    def features(self, choice: Choice) -> FeatureSet:
        """Features at the chosen level; extracted on first use, which may take minutes."""
        data = self.benchmark(choice.benchmark)
        settings = self.profiles[choice.benchmark]
        key = (choice.benchmark, choice.encoder)
        model = self._encoder(choice)
        finest = self._once(
            ("features", *key), lambda: features.extract(data, f"L{FINEST}", model, **settings.extraction)
        )
        return self._once(("level", *key, choice.level), lambda: finest.at_level(choice.level))

    def ask(self, choice: Choice, query: int) -> Answer:
        """Search for a query of the benchmark, by row number.

        Raises:
            ValueError: no such query, or its image could not be read when features were extracted.
        """
        data, owned = self.benchmark(choice.benchmark), self.features(choice)
        if not 0 <= query < len(data.queries):
            raise ValueError(f"query {query}, expected 0 to {len(data.queries) - 1}")
        descriptor = owned.query_descriptors[query]
        name = str(data.queries["query_id"].iloc[query])
        if not descriptor.any():
            raise ValueError(f"the image of query {name} could not be read; choose another")
        picture = query_picture(data, query)
        ranking = self._rank(choice, descriptor)
        one = replace(owned, query_descriptors=descriptor[None])
        depth = self.profiles[choice.benchmark].k or data.meta.get("k")
        table = metrics.evaluate(ranking, data.subset(queries=[query]), one, k=depth)
        scores = table.iloc[0] if len(table) else None
        return Answer(name, picture, descriptor, data, owned, ranking, data.relevant(query), scores)

    def ask_photo(self, choice: Choice, content: bytes, name: str) -> Answer:
        """Search for a photo of one's own, described as a whole.

        Args:
            choice: what to search in, and how.
            content: bytes of an image file; EXIF orientation is applied.
            name: of the file, for messages.

        Raises:
            ImageError: the file is no image, or damaged.
        """
        picture = images.decode(content, name)
        model, data, owned = self._encoder(choice), self.benchmark(choice.benchmark), self.features(choice)
        crop = next(cut(picture, np.array([[0, 0, *picture.size]], np.float32), model))
        descriptor = model.encode(crop[None])[0]
        return Answer(name, picture, descriptor, data, owned, self._rank(choice, descriptor))

    def _rank(self, choice: Choice, descriptor: NDArray[np.float32]) -> Ranking:
        if choice.index not in INDEXES:
            raise ValueError(unknown("index", choice.index, INDEXES))
        owned = self.features(choice)
        if choice.index == "exact":
            return search.rank(descriptor[None], owned)
        key = ("index", choice.benchmark, choice.encoder, choice.level)
        return self._once(key, lambda: index.PatchIndex.build(owned)).search(descriptor[None])

    def _encoder(self, choice: Choice) -> Encoder:
        device = self.profiles[choice.benchmark].device
        return self._once(("encoder", choice.encoder), lambda: encoders.create(choice.encoder, device=device))

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def query_picture(benchmark: Benchmark, query: int) -> Image.Image:
    """A query, cut to its box where it has one."""
    box, picture = benchmark.query_box(query), images.read(benchmark.query_path(query))
    return picture if box is None else picture.crop(tuple(np.rint(box).astype(int).tolist()))
