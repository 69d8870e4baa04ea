"""Controlled studies: one thing changes, the boxes go along, nothing is drawn twice."""

from pathlib import Path

import numpy as np
import pytest
from builders import benchmark_of, benchmark_on_disk, feature_set
from PIL import Image

from patchlib import boxes as box_ops
from patchlib import images
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.studies import attributes, brightness, controlled


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


AREAS, PLACES = (0.02, 0.08, 0.32), (0.25, 0.75)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> controlled.Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHLIB_CACHE", str(tmp_path_factory.mktemp("scenes")))
        return controlled.scenes(3, 1, areas=AREAS, places=PLACES, factors=(0.4, 1.0), workers=1)


def _truth(study: controlled.Study, series: str) -> np.ndarray:
    """(instance, level, 4) boxes as shares of the image."""
    members = study.series[series].members.sort_values(["query_id", "bin"])
    table = study.benchmark.positives.set_index(["query_id", "image_id"])
    rows = table.loc[list(members[["query_id", "image_id"]].itertuples(index=False, name=None)), BOX]
    sizes = study.benchmark.images.set_index("image_id").loc[members["image_id"], ["width", "height"]]
    return (rows.to_numpy() / np.tile(sizes.to_numpy(), 2)).reshape(3, -1, 4)


def test_size_and_light_share_one_scene_and_all_images_are_in_one_benchmark(study: controlled.Study) -> None:
    # 3 areas, 2 places and one more light of the middle area: 6 looks of 3 instances; 1 distractor
    assert len(study.benchmark.images) == 3 * 6 + 1
    assert {name: group.labels for name, group in study.series.items()} == {
        "size": ("2", "8", "32"),
        "place": ("0.25", "0.75"),
        "brightness": ("0.4", "1"),
    }
    base = [study.series[name].members.query("bin == @number")["image_id"].tolist()
            for name, number in (("size", 1), ("brightness", 1))]  # fmt: skip
    assert base[0] == base[1]


def test_every_instance_has_a_size_of_its_own_within_half_a_step_of_the_level(study: controlled.Study) -> None:
    share = box_ops.area(_truth(study, "size").reshape(-1, 4)).reshape(3, 3)
    steps = np.log(share / AREAS) / np.log(4)  # a level is four times the one before; whole pixels, soft edges
    assert np.abs(steps).max() < 0.5 + 0.1 and np.ptp(steps, axis=0).min() > 0.01
    # within its room from border to border, the box keeps its place
    truth = _truth(study, "size")
    sides = truth[..., 2:] - truth[..., :2]
    place = ((truth[..., :2] + truth[..., 2:]) / 2 - 0.5) / ((1 - np.sqrt(share))[..., None] / 2)
    free = np.abs(place).max(axis=2) * (1 - np.sqrt(share)) + sides.max(axis=2) < 0.97  # not moved inwards
    assert free.sum() >= 5 and all(np.ptp(p[f], axis=0).max() < 0.1 for p, f in zip(place, free, strict=True))


def test_only_the_place_changes_with_the_place(study: controlled.Study) -> None:
    near, far = _truth(study, "place").transpose(1, 0, 2)
    assert (far[:, 2:] - far[:, :2]) == pytest.approx(near[:, 2:] - near[:, :2], rel=0.03)
    inner, outer = ((box[:, :2] + box[:, 2:]) / 2 - 0.5 for box in (near, far))
    # the same direction, farther away
    assert (np.sign(inner) == np.sign(outer)).all()
    assert (np.linalg.norm(outer, axis=1) > np.linalg.norm(inner, axis=1)).all()


def test_other_things_stay_where_they_are(study: controlled.Study) -> None:
    members = study.series["place"].members
    for _, files in members.groupby("query_id")["image_id"]:
        pictures = [np.asarray(images.read(study.benchmark.root / file)).astype(int) for file in files]
        boxes = study.benchmark.positives.set_index("image_id").loc[list(files), BOX].to_numpy(int)
        beside = np.ones(pictures[0].shape[:2], bool)
        for x0, y0, x1, y1 in boxes:  # a shadow falls beside the box
            beside[max(0, y0 - 25) : y1 + 25, max(0, x0 - 25) : x1 + 25] = False
        difference = np.abs(pictures[0] - pictures[1])[beside]
        assert beside.mean() > 0.2 and np.median(difference) <= 3 and (difference > 40).mean() < 0.01


def test_brightness_changes_the_light_and_no_box(study: controlled.Study) -> None:
    dark, plain = _truth(study, "brightness").transpose(1, 0, 2)
    assert (dark == plain).all()
    files = study.series["brightness"].members.groupby("bin")["image_id"].first()
    light = [brightness.lightness(images.read(study.benchmark.root / file)) for file in files]
    assert light[0] < 0.7 * light[1]


def test_boxes_of_one_size_are_binned_by_how_well_a_region_fits_them() -> None:
    data = benchmark_of(4, 1, [(0, i, (0, 0, 50, 50)) for i in range(4)])
    members = data.positives[attributes.PAIR].assign(value=0, bin=[0, 0, 1, 1])
    placed = controlled.Study(data, {"place": attributes.Bins(("in", "out"), members)})
    # one region an image, as wide as the box or half, three fifths, a fifth of it
    regions = [[0, 0, width, 50] for width in (25, 50, 30, 10)]
    series, fit = controlled.aligned(placed, feature_set(np.eye(4), [1] * 4, np.eye(4)[:1], regions), count=2)
    assert series["alignment"].members.set_index("image_id")["bin"].to_dict() == {"i0": 0, "i1": 1, "i2": 1, "i3": 0}
    assert fit["place"].tolist() == pytest.approx([(50 + 100) / 2, (60 + 20) / 2])
    assert fit["alignment"].tolist() == pytest.approx([(50 + 20) / 2, (60 + 100) / 2])


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
