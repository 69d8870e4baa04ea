"""One query at a time against a chosen benchmark, encoder, level and index: what the explorer asks, without widgets."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchlib import encoders, images, metrics, plots, profiles, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet, cut
from patchlib.pq.index import PatchIndex
from patchlib.search import Ranking
from patchlib.session import Session
from patchlib.studies import examples
from patchlib.support.suggest import unknown_name

INDEXES = ("exact", "PQ")
FINEST = 3


@dataclass(frozen=True)
class Setup:
    """What to search in, and how."""

    benchmark: str  # one of the profile's
    encoder: str  # a name of the encoders' registry
    level: int = FINEST  # 0..3
    # ``"exact"`` or ``"PQ"`` (IVFPQ; all lists are probed, so the codes are the only approximation)
    index: str = "exact"


@dataclass(frozen=True, eq=False)
class Answer:
    """One query and its ranking."""

    name: str  # of the query: its id, or the file of one's own photo
    picture: Image.Image  # what was described
    descriptor: NDArray[np.float32]  # (D,) of the query
    benchmark: Benchmark  # what was searched
    features: FeatureSet  # owner of the regions
    ranking: Ranking  # (1, N) of all images
    # (B,) images with repetition, (B, 4) their boxes; None for one's own photo
    positives: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    # row of ``metrics.evaluate``; None for one's own photo or a query without positives
    scores: pd.Series | None = None

    def kind(self, image: int) -> str | None:
        """``"positive"`` or ``"negative"``; None where nobody knows."""
        return self.positives and ("positive" if image in self.positives[0] else "negative")

    def truth(self, image: int) -> NDArray[np.float32]:
        """(B, 4) known boxes of the object in an image."""
        owners, boxes = self.positives or (np.empty(0), np.empty((0, 4), np.float32))
        return boxes[(owners == image) & ~np.isnan(boxes).any(axis=1)]

    def patches(self, image: int) -> pd.DataFrame:
        """Scores of all regions of an image: :func:`patchlib.studies.examples.patch_scores`."""
        return examples.patch_scores(self.features, self.descriptor, image, self.truth(image))

    def summary(self) -> str:
        """One sentence: how good the ranking is, or that nobody knows."""
        if self.positives is None:
            return f"{self.name}: a photo of your own, so nobody knows which images are right."
        if self.scores is None:
            return f"{self.name}: no image of this benchmark is right."
        hits = np.isin(self.ranking.images[0], self.positives[0]) & (self.ranking.regions[0] >= 0)
        ranks = [str(rank) for rank in np.flatnonzero(hits) + 1]
        listed = ", ".join(ranks[:20] + ["..."] * (len(ranks) > 20))
        loc = self.scores["loc_score"]
        located = "no boxes" if np.isnan(loc) else f"LocScore {loc:.3f}"
        return (
            f"{self.name}: AP {self.scores['ap']:.3f}, {located}; {hits[: examples.SHOWN].sum()} of "
            f"{self.scores['n_positives']:.0f} right images among the first {examples.SHOWN}; all at ranks {listed}."
        )


class SearchSession:
    """The benchmarks of a profile, searched one query at a time; encoders, features and codes are made once and kept.

    Attributes:
        runs: name of a benchmark -> its session, the profile's own first.
        encoders: names to choose from, the profile's own first.
        default: the profile's benchmark and encoder, L3, exact.
    """

    def __init__(self, profile: str, **overrides: Any) -> None:
        """Arguments as of :func:`patchlib.profiles.open`."""
        run = profiles.open(profile, **overrides)
        settings = run.settings
        others = [name for name in settings.benchmarks if name != settings.benchmark]
        self.runs = {settings.benchmark: run}
        self.runs |= {
            name: profiles.open(profile, **overrides | {"benchmark": name, "download": False}) for name in others
        }
        self.encoders = list(dict.fromkeys([settings.encoder, *settings.encoders]))
        self.default = Setup(settings.benchmark, settings.encoder)
        self._encoder, self._features, self._codes = cache(encoders.create), cache(self._read), cache(self._build)

    def run(self, benchmark: str) -> Session:
        """The session of a benchmark; a ValueError where the profile lists no such benchmark."""
        if benchmark not in self.runs:
            raise ValueError(unknown_name("benchmark", benchmark, self.runs))
        return self.runs[benchmark]

    def features(self, setup: Setup) -> FeatureSet:
        """Features at the chosen level; extracted on first use, which may take minutes."""
        return self._features(setup.benchmark, setup.encoder, setup.level)

    def ask(self, setup: Setup, query: int) -> Answer:
        """Search for a query of the benchmark, by row number.

        Raises:
            ValueError: no such query, or its image could not be read when features were extracted.
        """
        run, features = self.run(setup.benchmark), self.features(setup)
        if not 0 <= query < len(run.data.queries):
            raise ValueError(f"query {query}, expected 0 to {len(run.data.queries) - 1}")
        descriptor, name = features.query_descriptors[query], str(run.data.queries["query_id"].iloc[query])
        if not descriptor.any():
            raise ValueError(f"the image of query {name} could not be read; choose another")
        picture, ranking = plots.read_query(run.data, query), self._rank(setup, descriptor)
        alone = replace(features, query_descriptors=descriptor[None])
        table = metrics.evaluate(ranking, run.data.subset(queries=[query]), alone, k=run.depth)
        scores = table.iloc[0] if len(table) else None
        return Answer(name, picture, descriptor, run.data, features, ranking, run.data.relevant(query), scores)

    def ask_photo(self, setup: Setup, content: bytes, name: str) -> Answer:
        """Search for a photo of one's own, described as a whole, from the bytes of its file; errors call it ``name``.

        Raises:
            ImageError: the file is no image, or damaged.
        """
        picture = images.decode(content, name)
        run, features = self.run(setup.benchmark), self.features(setup)
        encoder = self._encoder(setup.encoder, run.settings.device)
        crop = next(cut(picture, np.array([[0, 0, *picture.size]], np.float32), encoder))
        descriptor = encoder.encode(crop[None])[0]
        return Answer(name, picture, descriptor, run.data, features, self._rank(setup, descriptor))

    def _rank(self, setup: Setup, descriptor: NDArray[np.float32]) -> Ranking:
        if setup.index not in INDEXES:
            raise ValueError(unknown_name("index", setup.index, INDEXES))
        if setup.index == "PQ":
            return self._codes(setup).search(descriptor[None])
        return search.rank(descriptor[None], self.features(setup))

    def _build(self, setup: Setup) -> PatchIndex:
        return PatchIndex.build(self.features(setup))

    def _read(self, benchmark: str, encoder: str, level: int) -> FeatureSet:
        if level < FINEST:
            return self._features(benchmark, encoder, FINEST).at_level(level)
        run = self.run(benchmark)
        return run.features(f"L{FINEST}", encoder=self._encoder(encoder, run.settings.device))
