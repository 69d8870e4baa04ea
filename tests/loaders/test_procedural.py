"""The procedural benchmark: determinism, exact boxes, the design of sizes and places, siblings, errors."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patchlib import benchmarks, boxes
from patchlib.benchmarks.procedural import loader
from patchlib.benchmarks.procedural.config import BLOCK, TRAINING_SEED, ProceduralConfig, design
from patchlib.benchmarks.procedural.objects import SIBLING_DIFFERENCE, difference, make_object, render
from patchlib.benchmarks.procedural.scenes import Scene, make_query, make_scene

TINY = {"instances": 6, "positives": 3, "distractors": 6}
CONFIG = ProceduralConfig(seed=4)
# SHA-256 (first 16 digits) of pixels and files; a change of the generator on purpose changes them and VERSION
PINNED = ["13e4bf22a3fc99c2", "30fab34317889704", "b6c1c95364a9d8be"]
PINNED_FILES = "9bed7faa07e15bea"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> benchmarks.Benchmark:
    return benchmarks.load("procedural", tmp_path_factory.mktemp("tiny"), **TINY, workers=1)


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def contents(root: Path) -> dict[Path, bytes]:
    return {file.relative_to(root): file.read_bytes() for file in root.rglob("*.*")}


def share(scene: Scene) -> float:
    """Area of the instance's box as a share of the image's."""
    return float(boxes.area(scene.boxes)[0]) / (scene.image.width * scene.image.height)


# ------------------------------------------------------------------ determinism


def test_pixels_are_the_pinned_ones() -> None:
    """The same bytes on every machine with the pinned numpy and Pillow."""
    scenes = [make_scene(CONFIG, i, i).image.tobytes() for i in range(12)]
    others = [make_scene(CONFIG, None, i).image.tobytes() for i in range(6)]
    queries = [make_query(CONFIG, i).tobytes() for i in range(6)]
    assert [digest(*scenes), digest(*others), digest(*queries)] == PINNED


def test_files_are_the_pinned_ones(tiny: benchmarks.Benchmark) -> None:
    files = sorted(tiny.root.rglob("*.jpg")) + sorted(tiny.root.rglob("*.txt"))
    assert len(files) == 2 * 6 * (1 + 3) + 6
    assert digest(*(file.read_bytes() for file in files)) == PINNED_FILES


def test_an_item_alone_is_the_item_among_others() -> None:
    alone = make_scene(CONFIG, 7, 2).image.tobytes()
    for instance, view in ((3, 0), (7, 1), (None, 5)):
        make_scene(CONFIG, instance, view)
    assert make_scene(CONFIG, 7, 2).image.tobytes() == alone


def test_other_seeds_show_other_things() -> None:
    a, b = (make_scene(ProceduralConfig(seed=seed), 0, 0).image.tobytes() for seed in (1, 2))
    assert a != b


def test_a_killed_generation_continues_with_the_same_bytes(tiny: benchmarks.Benchmark, tmp_path: Path) -> None:
    benchmarks.load("procedural", tmp_path, **TINY, workers=1)
    gone = [*sorted(tmp_path.rglob("*.jpg"))[::3], tmp_path / loader.RECORD]
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.jpg") if file not in gone}
    for file in gone:
        file.unlink()
    again = benchmarks.load("procedural", tmp_path, **TINY, workers=1)
    assert again.hash == tiny.hash
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    assert contents(tmp_path) == contents(tiny.root)


def test_two_workers_write_what_one_does(tmp_path: Path) -> None:
    options = {"instances": 20, "positives": 2, "distractors": 4}
    one, two = (benchmarks.load("procedural", tmp_path / str(n), **options, workers=n) for n in (1, 2))
    assert one.hash == two.hash
    assert contents(one.root) == contents(two.root)


# ------------------------------------------------------------------ objects and siblings


@pytest.mark.parametrize("instances", [8, 40, 120, 200])
def test_a_quarter_of_the_instances_has_siblings(instances: int) -> None:
    objects = ProceduralConfig(instances=instances).objects()
    families = [family for family, _ in objects]
    with_siblings = sum(families.count(family) > 1 for family in families)
    assert len(set(objects)) == instances
    assert with_siblings == instances // 4


def test_siblings_differ_in_five_percent_of_the_object() -> None:
    objects = ProceduralConfig(instances=60).objects()
    pairs = [(a, b) for a, b in itertools.combinations(objects, 2) if a[0] == b[0]]
    assert pairs
    for a, b in pairs:
        assert difference(make_object(*a), make_object(*b)) >= SIBLING_DIFFERENCE == 0.05


def test_difference_is_the_share_of_visibly_changed_pixels() -> None:
    item = make_object(11)
    assert difference(item, item) == 0
    assert difference(item, make_object(12)) > 0.3


def test_benchmark_clutter_and_training_objects_are_disjoint() -> None:
    config = ProceduralConfig(seed=TRAINING_SEED - 1, instances=1000)
    seeds = {seed for seed, _ in config.objects()}
    clutter = config.seed * BLOCK + BLOCK // 2
    assert max(seeds) < clutter < TRAINING_SEED * BLOCK


def test_render_reaches_the_size_asked_for() -> None:
    for seed in range(20):
        sprite = render(make_object(seed), yaw=20, pitch=10, roll=30, side=90)
        alpha = np.asarray(sprite.getchannel("A"))
        # cut tightly: something solid in every outermost row and column
        assert (alpha[[0, -1]] > 127).any(axis=1).all()
        assert (alpha[:, [0, -1]] > 127).any(axis=0).all()
        assert np.sqrt(sprite.width * sprite.height) == pytest.approx(90, abs=3)


# ------------------------------------------------------------------ scenes


def test_box_is_the_visible_part_of_the_instance() -> None:
    """Against an independent oracle: the pixels that change when the instance is taken out of the scene."""
    config = ProceduralConfig(seed=9, lighting=0, blur=0, second=0, occlusion=1.0)
    checked = 0
    for instance, view in itertools.product(range(8), range(4)):
        scene = make_scene(config, instance, view, area=0.2)
        x0, y0, x1, y1 = scene.boxes[0]
        assert 0 <= x0 < x1 <= scene.image.width and 0 <= y0 < y1 <= scene.image.height
        assert 0.6 - 1e-9 <= scene.visible[0] <= 1
        assert share(scene) <= 0.2 * 1.06
        checked += scene.visible[0] < 0.95
    assert checked >= 16  # most have an occluder


def test_boxes_cover_the_object_exactly() -> None:
    """Moved by some pixels, the instance changes the image inside the hull of both boxes and its shadow only."""
    config = ProceduralConfig(seed=2, lighting=0, blur=0, second=0, occlusion=0, clutter=(0, 0), perspective=0)
    near, far = (make_scene(config, 0, 0, area=0.05, centre=c) for c in ((0.3, 0.4), (0.7, 0.4)))
    changed = (np.abs(np.asarray(near.image, int) - np.asarray(far.image, int)) > 60).any(axis=2)
    columns = np.flatnonzero(changed.any(axis=0))
    margin = 0.2 * (near.boxes[0, 2] - near.boxes[0, 0])
    assert near.boxes[0, 0] - margin <= columns.min() <= near.boxes[0, 0] + margin
    assert far.boxes[0, 2] - margin <= columns.max() <= far.boxes[0, 2] + margin


def test_the_same_scene_only_smaller_elsewhere_darker() -> None:
    config = ProceduralConfig(seed=5, occlusion=0, second=0, clutter=(3, 3), blur=0)
    changes: list[dict[str, Any]] = [{}, {"area": 0.02}, {"centre": (0.1, 0.9)}, {"brightness": 0.3}]
    scenes = [make_scene(config, 3, 1, **{"area": 0.2, "centre": (0.5, 0.5), **change}) for change in changes]
    plain, small, moved, dark = scenes
    assert {(scene.place, scene.image.size) for scene in scenes} == {(plain.place, plain.image.size)}
    assert share(small) / share(plain) == pytest.approx(0.1, rel=0.15)
    # far from every place of the instance the pictures are equal
    corner = np.s_[:40, -40:]
    assert np.array_equal(np.asarray(plain.image)[corner], np.asarray(small.image)[corner])
    assert np.array_equal(dark.boxes, plain.boxes)
    assert np.asarray(dark.image).mean() < 0.6 * np.asarray(plain.image).mean()
    assert moved.boxes[0, 0] <= 2 and moved.boxes[0, 3] >= moved.image.height - 2


def test_design_spreads_areas_and_places_evenly() -> None:
    """Every instance has one positive in each stratum of log-area and of the way to the corner."""
    config = ProceduralConfig(seed=3, positives=8)
    for instance in range(10):
        areas, places = zip(*(design(config, instance, view) for view in range(8)), strict=True)
        strata = np.floor(8 * np.log(np.array(areas) / 0.005) / np.log(0.7 / 0.005))
        assert sorted(strata) == list(range(8))
        assert sorted(np.floor(8 * np.array(places))) == list(range(8))


def test_areas_reach_from_tiny_to_most_of_the_image() -> None:
    config = ProceduralConfig(seed=6, occlusion=0, second=0)
    shares = [share(make_scene(config, instance, view)) for instance, view in itertools.product(range(12), range(8))]
    assert min(shares) < 0.008
    assert max(shares) > 0.5
    assert 0.03 < np.median(shares) < 0.1  # geometric middle of 0.005 and 0.7 is 0.059


def test_position_controlled_set_fills_five_bins() -> None:
    config = ProceduralConfig(
        instances=50, positives=10, distractors=0, controlled=True, area=(0.12, 0.2), occlusion=0, second=0
    )
    bins = np.zeros(5, int)
    for instance, view in itertools.product(range(6), range(10)):
        scene = make_scene(config, instance, view)
        w, h = scene.image.size
        x0, y0, x1, y1 = scene.boxes[0]
        assert 0.1 < share(scene) < 0.21
        distance = np.hypot((x0 + x1 - w) / 2, (y0 + y1 - h) / 2) / (np.hypot(w, h) / 2)
        bins[min(4, int(distance / 0.1))] += 1
    assert (np.abs(bins - 12) <= 3).all()  # 60 scenes, 12 a bin by design; boxes are whole pixels


def test_second_boxes_do_not_overlap() -> None:
    config = ProceduralConfig(seed=8, second=1.0, area=(0.01, 0.1), occlusion=0)
    doubles = [s for s in (make_scene(config, i, i % 8) for i in range(12)) if len(s.boxes) == 2]
    assert len(doubles) >= 8
    assert all(boxes.iou(scene.boxes[:1], scene.boxes[1:]).item() == 0 for scene in doubles)


# ------------------------------------------------------------------ on disk


def test_layout_is_the_published_one(tiny: benchmarks.Benchmark) -> None:
    assert tiny.summary()["images"] == 6 * 3 + 6
    assert (tiny.root / "ilias_core/object_000/query/Q000_00.jpg").is_file()
    lines = (tiny.root / "ilias_core/object_002/pos/P002_01_bbox.txt").read_text().splitlines()
    x, y, w, h = (int(v) for v in lines[0].split())
    rows = tiny.positives[tiny.positives["image_id"] == "object_002/pos/P002_01.jpg"]
    assert rows[["x0", "y0", "x1", "y1"]].to_numpy().tolist()[0] == [x, y, x + w, y + h]
    assert len(rows) == len(lines)
    assert set(tiny.positives["query_id"]) == set(tiny.queries["query_id"])


def test_root_of_another_benchmark_is_refused(tiny: benchmarks.Benchmark) -> None:
    with pytest.raises(ValueError, match="use another root"):
        benchmarks.load("procedural", tiny.root, **{**TINY, "seed": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"instances": 0}, "instances is 0, expected 1 to"), ({"positives": 0}, "positives is 0"),
     ({"distractors": -1}, "distractors is -1"), ({"occlusion": 1.5}, "occlusion is 1.5"),
     ({"area": (0.5, 0.1)}, "two ascending values"), ({"area": (0.1, 0.95)}, "area is .*each 0.001 to 0.7"),
     ({"area": (0.1,)}, "area is"), ({"quality": (0, 100)}, "quality is"), ({"controlled": True}, "at most 0.2"),
     ({"seed": -1}, "seed is -1"), ({"seed": TRAINING_SEED}, "which is for training")],
)  # fmt: skip
def test_impossible_settings_are_refused(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        benchmarks.load("procedural", tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "change", [{"area": 0.9}, {"area": 0.0}, {"centre": (1.2, 0)}, {"centre": (0.5,)}, {"brightness": 0}]
)
def test_impossible_scenes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make_scene(CONFIG, 0, 0, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="instance is 500"):
        make_scene(CONFIG, 500, 0)
