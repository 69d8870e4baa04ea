"""Controlled studies: one thing changes, the boxes go along, nothing is drawn twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import benchmark_of, benchmark_on_disk
from PIL import Image

from patchlib import boxes as box_ops
from patchlib import images
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.studies import attributes, brightness, controlled


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> controlled.Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHLIB_CACHE", str(tmp_path_factory.mktemp("scenes")))
        return controlled.scenes(2, 1, areas=(0.02, 0.1, 0.3), places=(0.0, 0.6), factors=(0.4, 1.0), workers=1)


def _truth(study: controlled.Study, series: str) -> np.ndarray:
    """(instance, level, 4) boxes."""
    members = study.series[series].members.sort_values(["query_id", "bin"])
    table = study.benchmark.positives.set_index(["query_id", "image_id"])
    rows = table.loc[list(members[["query_id", "image_id"]].itertuples(index=False, name=None)), BOX]
    return rows.to_numpy(np.float32).reshape(2, -1, 4)


def test_series_share_one_scene_and_all_images_are_in_one_benchmark(study: controlled.Study) -> None:
    # 3 areas, and one more place and one more light of the middle area: 5 looks of 2 instances; 1 distractor
    assert len(study.benchmark.images) == 2 * 5 + 1
    assert {name: group.labels for name, group in study.series.items()} == {
        "size": ("2", "10", "30"),
        "place": ("0", "0.6"),
        "brightness": ("0.4", "1"),
    }
    base = [study.series[name].members.query("bin == @number")["image_id"].tolist()
            for name, number in (("size", 1), ("place", 0), ("brightness", 1))]  # fmt: skip
    assert base[0] == base[1] == base[2]


def test_only_the_size_changes_with_the_size(study: controlled.Study) -> None:
    truth = _truth(study, "size")
    width, height = study.benchmark.images[["width", "height"]].to_numpy()[0]
    share = box_ops.area(truth.reshape(-1, 4)).reshape(2, 3) / (width * height)
    assert share == pytest.approx(np.tile([0.02, 0.1, 0.3], (2, 1)), rel=0.25)  # whole pixels, soft edges
    centres = (truth[..., :2] + truth[..., 2:]) / 2
    assert np.ptp(centres, axis=1).max() < 0.05 * width


def test_only_the_place_changes_with_the_place(study: controlled.Study) -> None:
    near, far = _truth(study, "place").transpose(1, 0, 2)
    # something in front may hide up to a tenth of the instance, and its box is of what can be seen
    assert (far[:, 2:] - far[:, :2]) == pytest.approx(near[:, 2:] - near[:, :2], rel=0.2)
    table = attributes.attributes(study.benchmark)
    distance = table.merge(study.series["place"].members, on=attributes.PAIR).groupby("bin")["distance"].mean()
    assert distance[0] < 0.05 and 0.4 < distance[1] < 0.65


def test_brightness_changes_the_light_and_no_box(study: controlled.Study) -> None:
    dark, plain = _truth(study, "brightness").transpose(1, 0, 2)
    assert (dark == plain).all()
    files = study.series["brightness"].members.groupby("bin")["image_id"].first()
    light = [brightness.lightness(images.read(study.benchmark.root / file)) for file in files]
    assert light[0] < 0.7 * light[1]


def _photographs(folder: Path) -> Benchmark:
    """Six photographs of 120 x 90 pixels: the instance of query i is a rectangle of its own colour on grey noise."""
    data = benchmark_on_disk(folder, n_images=6, n_queries=3, sizes=[(120, 90)])
    positives = data.positives.copy()
    for row in range(6):
        Image.new("RGB", (120, 90), (60, 60, 60)).save(folder / data.images["path"][row])
        image = Image.open(folder / data.images["path"][row])
        image.paste((250, 0, 0), (30, 20, 90, 80))
        image.save(folder / data.images["path"][row])
    positives[BOX] = [30, 20, 90, 80]
    return Benchmark("photos", folder, data.images, data.queries, positives)


def test_boxes_go_along_into_the_collage(cache: Path) -> None:
    data = _photographs(cache / "photos")
    # fill with blue, so that red is the shrunk instance alone
    for row in (1, 4):
        Image.new("RGB", (120, 90), (0, 0, 250)).save(data.image_path(row))
    shrunk = controlled.collages(data, scales=(0.4, 1.0), photos=1, distractors=2, workers=1)
    assert shrunk.series["size"].labels == ("0.4", "1") and shrunk.series["size"].sizes == [2, 2]
    for query, image, *box in shrunk.benchmark.positives.itertuples(index=False, name=None):
        pixels = np.asarray(images.read(shrunk.benchmark.root / image)).astype(int)
        red = (pixels[..., 0] > 150) & (pixels[..., 2] < 100)
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert box == pytest.approx(seen, abs=1.6), (query, image)
    # at scale 1 the collage is the photograph
    alone = shrunk.series["size"].members.query("bin == 1")["image_id"].iloc[0]
    assert np.abs(np.asarray(images.read(shrunk.benchmark.root / alone))[5, 5].astype(int) - 60).max() < 4


def test_no_collage_shows_another_positive_of_a_chosen_query(cache: Path) -> None:
    data = _photographs(cache / "photos")
    chosen, others = controlled._photos(data, queries=40, photos=3)
    assert [query for query, _, _ in chosen] == [0, 0, 2, 2]  # every second query, its two photos each
    assert others.tolist() == [1, 4]


def test_collages_that_cannot_be_made_say_why(cache: Path) -> None:
    with pytest.raises(ValueError, match="has no boxes"):
        controlled.collages(benchmark_of(3, 1, [(0, 0, None)]))
    with pytest.raises(ValueError, match="positive of the chosen queries"):
        controlled.collages(benchmark_of(1, 1, [(0, 0, (0, 0, 9, 9))]))
    with pytest.raises(ValueError, match=r"scales are \(2,\)"):
        controlled.collages(benchmark_of(1, 1, []), scales=(2,))
