"""What a notebook holds in its hand: the settings of its run, and the session at work on them.

The session loads what the settings name, benchmark, encoder and features, scores it, and saves figures and tables, each
with a record of what it was made from.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from patchlib import encoders, features, metrics, plots, report, search
from patchlib.benchmarks import Benchmark
from patchlib.download import presence
from patchlib.encoders import Encoder
from patchlib.features import FeatureSet
from patchlib.regions import Strategy
from patchlib.search import Ranking
from patchlib.support import machine, paths, provenance

TITLES = {
    "procedural": "built-in benchmark",
    "photographs": "photographs",
    "ilias": "ILIAS",
    "instre": "INSTRE",
    "grocery": "Grocery Store",
    "roxford5k": "R-Oxford",
    "rparis6k": "R-Paris",
    "folder": "own photographs",
}
INDIFFERENT = ("name", "workers", "download")  # settings that decide no number


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Settings of a run; null in a profile's file stands for the default."""

    name: str  # the stem of its file
    benchmark: str  # in use
    # its loader's keywords, ``root`` among them if it lies elsewhere
    benchmark_options: dict[str, Any] = field(default_factory=dict)
    benchmarks: tuple[str, ...]  # that the profile lists, the default one first
    encoder: str  # in use, a name of the encoders' registry
    encoders: tuple[str, ...]  # those that the comparisons of encoders run
    # the two encoders of the study of size, place and brightness; None = the first two of ``encoders``
    pair: tuple[str, ...]
    levels: tuple[int, ...]  # two or more grid levels to study, ascending, of 0..3
    matcher: str = "built-in"  # what re-ranks: ``"built-in"``, or ``"published"``, the network of the AMES authors
    device: str  # torch device, e.g. ``"cpu"`` or ``"cuda"``
    workers: int  # processes or threads; by default one per core
    batch: int  # crops in one forward
    dtype: str  # of the stored descriptors, ``"float32"`` or ``"float16"``
    k: int | None = None  # depth of AP; None = what the benchmark's protocol says
    sample: int | None = None  # images of the studies that describe each image many times; None = all
    worlds: int = 0  # images of each of the other worlds that a page's effects are measured in; 0 = none
    resamples: int  # bootstrap resamples of a confidence interval
    skip_bad: bool = False  # leave unreadable images out, and count them, instead of stopping
    download: bool | None = None  # fetch a benchmark that is missing; None = up to 1 GB

    @property
    def label(self) -> str:
        """What figures say they show, e.g. ``"built-in benchmark"``; names the options that are not the default."""
        told = {key: value for key, value in self.benchmark_options.items() if key not in ("root", "skip_bad")}
        options = ", ".join(f"{key}={value}" for key, value in told.items())
        return TITLES[self.benchmark] + (f" ({options})" if options else "")

    @property
    def extraction(self) -> dict[str, Any]:
        """The keywords of :func:`patchlib.features.extract` that a profile decides."""
        return {"workers": self.workers, "batch": self.batch, "dtype": self.dtype, "skip_bad": self.skip_bad}


class Evaluation(NamedTuple):
    """Rankings and scores of several feature sets, by the names they were given."""

    rankings: dict[str, Ranking]
    scores: dict[str, pd.DataFrame]


class Session:
    """A run's settings at work on its benchmark. Made by :func:`patchlib.profiles.open`.

    Attributes:
        settings: the profile, overrides included.
    """

    def __init__(self, settings: Profile) -> None:
        self.settings = settings
        self._inputs: dict[str, str] = {}
        self._watches: dict[str, machine.Stopwatch] = {}

    @cached_property
    def data(self) -> Benchmark:
        """The benchmark; fetched first where it is missing, as the setting ``download`` says."""
        data = presence.load(self.settings.benchmark, self.settings.benchmark_options, self.settings.download)
        self.use(benchmark=data.hash)
        return data

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder."""
        return encoders.create(self.settings.encoder, device=self.settings.device)

    @property
    def depth(self) -> int | None:
        """Depth of AP: the profile's, or that of the benchmark's protocol; None = the whole database."""
        return self.depth_of(self.data)

    def depth_of(self, data: Benchmark) -> int | None:
        """:attr:`depth` for another benchmark."""
        return self.settings.k or data.meta.get("k")

    def features(
        self, regions: Strategy = "L3", data: Benchmark | None = None, encoder: Encoder | None = None
    ) -> FeatureSet:
        """Descriptors of the regions of each image; computed once, then read from the cache.

        ``data`` and ``encoder`` stand in the place of the session's; ``regions`` as in
        :func:`patchlib.features.extract`.
        """
        data, encoder = data or self.data, encoder or self.encoder
        patches = features.extract(data, regions, encoder, **self.settings.extraction)
        # by its hash, too: a sample has the name of the whole
        named = f"{patches.meta['regions']} of {data.name} {data.hash} by {encoder.name}"
        self.use(**{named: patches.meta["hash"]})
        return patches

    def evaluate(self, sets: Mapping[str, FeatureSet], data: Benchmark | None = None) -> Evaluation:
        """Rank the images by each feature set and score every query, as deep as the protocol goes.

        ``sets`` by name, e.g. ``{"global": whole, "Patchify": patches}``; ``data`` stands in the place of the
        session's.
        """
        data = data or self.data
        depth = self.depth_of(data)
        rankings = {name: search.rank(part.query_descriptors, part, depth) for name, part in sets.items()}
        scores = {name: metrics.evaluate(rankings[name], data, part, k=depth) for name, part in sets.items()}
        return Evaluation(rankings, scores)

    def use(self, **hashes: str) -> None:
        """Note inputs by the hash of their content, so that every record from here on names them."""
        self._inputs |= hashes

    def save_figure(
        self, fig: Figure, name: str, caption: str, *, label: str = "", photographs: bool = False, **config: Any
    ) -> Figure:
        """Write a figure and its record, see :func:`patchlib.plots.save`.

        Args:
            fig: the figure.
            name: of the paper's item, e.g. ``"fig_1_teaser"``.
            caption: its first sentence is the message.
            label: what the data are, where they are not the session's benchmark.
            photographs: whether it shows many: it is then saved as a jpg.
            config: what this figure depends on besides the profile.
        """
        record = self.record(config, label)
        if name in self._watches:
            record |= {"machine": machine.kind(), "times": self._watches[name].times}
        return plots.save(fig, name, record, caption, photographs)

    def save_table(
        self, table: pd.DataFrame, name: str, decimals: int = 2, *, label: str = "", note: str = "", **config: Any
    ) -> pd.DataFrame:
        """Write a table and its record, see :func:`patchlib.report.save_table`; returns the table."""
        return report.save_table(table, name, self.record(config, label), decimals, note)

    def stopwatch(self, figure: str, **config: Any) -> machine.Stopwatch:
        """Times for a figure: those that its record holds, if a machine like this took them of the same; others anew.

        So a figure of times stays as it is until its record is removed, or something that is timed has changed.

        Args:
            figure: its name, as in :meth:`save_figure`, which keeps the times in the record.
            config: what the times depend on besides the profile and the inputs used until now.
        """
        asked, known = provenance.plain(self.record(config)), {}
        for folder in (paths.shipped() / "figures", paths.figures()):
            path = folder / f"{figure}.json"
            record = provenance.read_json(path) if path.exists() else {}
            same = [asked[key].items() <= record.get(key, {}).items() for key in ("config", "inputs")]
            if all(same) and record.get("machine") == machine.kind():
                known = record["times"]
        self._watches[figure] = machine.Stopwatch(known)
        return self._watches[figure]

    def record(self, config: Mapping[str, Any], label: str = "") -> dict[str, Any]:
        """The record of what is saved now: the settings that decide numbers, and the inputs used until now."""
        decisive = {key: value for key, value in asdict(self.settings).items() if key not in INDIFFERENT}
        return provenance.record(
            decisive | dict(config), self._inputs, self.settings.name, label or self.settings.label
        )
