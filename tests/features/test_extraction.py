"""Extraction: the plain loop's numbers, the same bytes whatever happens, and every fault named."""

import dataclasses
import errno
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import benchmark_on_disk, encoder_of, mean_colour, picture, resized
from PIL import Image

from patchlib import encoders, features, images, regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder, encoder, specs
from patchlib.features import extraction
from patchlib.features import shards as feature_shards
from patchlib.support import files, provenance

COLOUR = encoder_of(mean_colour, 3)


@pytest.fixture
def tiny(tmp_path: Path) -> Benchmark:
    return benchmark_on_disk(tmp_path / "data", n_images=7, n_queries=3)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images of L1 a shard: four shards of images, and batches that end within them."""
    monkeypatch.setattr(feature_shards, "SHARD_REGIONS", 10)
    monkeypatch.setattr(feature_shards, "SHARDS", 1)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    count: Counter[str] = Counter()
    read = images.read

    def counted(path: str) -> Image.Image:
        count[os.path.basename(os.path.dirname(path)) + "/" + os.path.basename(path)] += 1
        return read(path)

    monkeypatch.setattr(feature_shards.images, "read", counted)
    return count


def content(features_: features.FeatureSet, out: Path) -> dict[str, bytes]:
    folder = out / features_.meta["name"]
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def plain_loop(tiny: Benchmark, encoder: Encoder, level: int) -> tuple[np.ndarray, np.ndarray]:
    """One patch after the other, one forward per image."""
    described = []
    for table in (tiny.images, tiny.queries):
        rows = []
        for path in table["path"]:
            image = Image.open(tiny.root / path).convert("RGB")
            boxes = regions.grid(*image.size, level if table is tiny.images else 0)
            crops = [image.crop(tuple(box.tolist())) for box in boxes]
            small = [resized(crop, encoder.input_size, encoder.interpolation) for crop in crops]
            rows.append(encoder.encode(np.stack(small)))
        described.append(np.concatenate(rows))
    return described[0], described[1]


def test_a_network_gives_the_plain_loops_descriptors(tiny: Benchmark, tmp_path: Path) -> None:
    specification = specs.EncoderSpec(
        name="net", library="timm", model="test_resnet", dim=96, input_size=32, family="CNN"
    )
    torch.manual_seed(0)
    model = encoders.build_model(specification).eval()
    network = encoder_of(encoder._forward(lambda: model, specification, "cpu", "float32"), 96, 32, "net")
    got = features.extract(tiny, "L3", network, tmp_path)
    rows, queries = plain_loop(tiny, network, 3)
    assert (got.descriptors * rows).sum(axis=1).min() >= 0.999
    assert (got.query_descriptors * queries).sum(axis=1).min() >= 0.999
    np.testing.assert_allclose(np.linalg.norm(got.descriptors, axis=1), 1, atol=1e-5)


def test_every_region_of_every_image_and_every_query(
    tiny: Benchmark, tmp_path: Path, small_shards: None, decoded: Counter[str]
) -> None:
    got = features.extract(tiny, "L1", COLOUR, tmp_path, batch=4)
    rows, queries = plain_loop(tiny, COLOUR, 1)
    np.testing.assert_array_equal(got.descriptors, rows)
    np.testing.assert_array_equal(got.query_descriptors, queries)
    assert got.descriptors.dtype == np.float32 and isinstance(got.descriptors, np.memmap)
    boxes, offsets = regions.of_benchmark(tiny, "L1")
    assert (got.boxes == boxes).all() and got.offsets.tolist() == offsets.tolist() == [5 * i for i in range(8)]
    assert set(decoded.values()) == {1} and len(decoded) == 7 + 3


def test_a_finished_set_is_returned_at_once(tiny: Benchmark, tmp_path: Path, decoded: Counter[str]) -> None:
    one = features.extract(tiny, "L1", COLOUR, tmp_path)
    decoded.clear()
    two = features.extract(tiny, "L1", COLOUR, tmp_path)
    assert not decoded and one.meta == two.meta
    features.extract(tiny, "L1", COLOUR, tmp_path, resume=False)
    assert len(decoded) == 10


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"batch": 5}, {"strategy": "L2"}, {"encoder": "other"}])
def test_other_settings_are_another_set(change: dict, tiny: Benchmark, tmp_path: Path) -> None:
    first = features.extract(tiny, "L1", COLOUR, tmp_path)
    options = {key: value for key, value in change.items() if key in ("dtype", "batch")}
    encoder = encoder_of(mean_colour, 3, name=change.get("encoder", "stub"))
    other = features.extract(tiny, change.get("strategy", "L1"), encoder, tmp_path, **options)
    assert other.meta["name"] != first.meta["name"] and other.meta["hash"] != first.meta["hash"]


@pytest.mark.usefixtures("small_shards")
def test_an_image_that_another_set_describes_is_taken_from_it(
    tiny: Benchmark, tmp_path: Path, decoded: Counter[str]
) -> None:
    alone = dataclasses.replace(COLOUR, config={"name": "alone", "runtime": "onnxruntime"})
    some = tiny.subset(images=[1, 3, 4, 6])
    features.extract(some, "L1", alone, tmp_path / "a", workers=1)
    decoded.clear()
    whole = features.extract(tiny, "L1", alone, tmp_path / "a", workers=2)
    described = {name for name in decoded if name.startswith("database")}
    assert described == {"database/000.png", "database/002.png", "database/005.png"}
    fresh = features.extract(tiny, "L1", alone, tmp_path / "b")
    assert content(whole, tmp_path / "a") == content(fresh, tmp_path / "b")

    Image.new("RGB", (40, 32), "red").save(tiny.image_path(3))
    decoded.clear()
    changed = features.extract(tiny.subset(images=[3, 4]), "L1", alone, tmp_path / "a")
    assert sum(decoded.values()) == len(tiny.queries) + 1
    assert (changed.descriptors[changed.rows(0)] != whole.descriptors[whole.rows(3)]).any()
    decoded.clear()
    features.extract(tiny.subset(images=[4]), "L0", alone, tmp_path / "a")  # other regions
    features.extract(tiny.subset(images=[4]), "L1", COLOUR, tmp_path / "a")  # of torch the last bit may differ
    assert sum(decoded.values()) == 2 * (len(tiny.queries) + 1)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_workers_do_not_change_a_byte(dtype: str, tiny: Benchmark, tmp_path: Path) -> None:
    sets = [
        content(features.extract(tiny, "L2", COLOUR, tmp_path / str(n), workers=n, dtype=dtype), tmp_path / str(n))
        for n in (1, 2, 5)
    ]
    assert sets[0] == sets[1] == sets[2]
    assert set(sets[0]) == {"descriptors.npy", "query_descriptors.npy", "boxes.npy", "offsets.npy", "meta.json"}


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("calls", [0, 1, 3, 6])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_extraction_continues_to_the_same_bytes(
    calls: int, workers: int, tiny: Benchmark, tmp_path: Path, decoded: Counter[str]
) -> None:
    left = [calls]

    def killed(crops: np.ndarray) -> np.ndarray:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return mean_colour(crops)

    with pytest.raises(KeyboardInterrupt):
        features.extract(tiny, "L1", encoder_of(killed, 3), tmp_path / "a", workers=workers, batch=4)
    folder = next((tmp_path / "a").iterdir())
    with pytest.raises(FileNotFoundError, match="holds no finished feature set; run features.extract again"):
        features.load(folder)
    kept = len(list(folder.glob("shards/*.npy")))
    (folder / "shards").mkdir(exist_ok=True)
    (folder / "shards" / ".image-00000000.npy.0123.part").write_bytes(b"half")  # what SIGKILL leaves
    decoded.clear()
    resumed = features.extract(tiny, "L1", COLOUR, tmp_path / "a", batch=4)
    assert not kept or sum(decoded.values()) < 10
    whole = features.extract(tiny, "L1", COLOUR, tmp_path / "b", batch=4)
    assert content(resumed, tmp_path / "a") == content(whole, tmp_path / "b")


def test_two_processes_at_once_do_no_damage(tiny: Benchmark, tmp_path: Path) -> None:
    for name in ("images", "queries", "positives"):
        getattr(tiny, name).to_csv(tmp_path / f"{name}.csv", index=False)
    code = """
import sys, pandas as pd
from patchlib import encoders, features
from patchlib.benchmarks.benchmark import Benchmark
folder = sys.argv[1]
tables = [pd.read_csv(f"{folder}/{name}.csv") for name in ("images", "queries", "positives")]
benchmark = Benchmark("tiny", f"{folder}/data", *tables)
for _ in range(5):
    got = features.extract(benchmark, "L3", encoders.create("colour-histogram"), f"{folder}/out", resume=False)
    assert got.descriptors.shape == (7 * 30, 512)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    histogram = encoders.create("colour-histogram")
    shared = features.extract(tiny, "L3", histogram, tmp_path / "out")
    alone = features.extract(tiny, "L3", histogram, tmp_path / "alone")
    assert content(shared, tmp_path / "out") == content(alone, tmp_path / "alone")


def spoil(tiny: Benchmark, *paths: str) -> None:
    for path in paths:
        (tiny.root / path).write_bytes(b"no image")


@pytest.mark.usefixtures("small_shards")
def test_unreadable_images_are_all_listed_at_the_end_and_the_rest_is_kept(
    tiny: Benchmark, tmp_path: Path, decoded: Counter[str]
) -> None:
    spoil(tiny, "database/002.png", "queries/001.png")
    (tiny.root / "database/005.png").unlink()
    with pytest.raises(features.BadImages, match=r"3 images cannot be read(.|\n)*--skip-bad") as caught:
        features.extract(tiny, "L1", COLOUR, tmp_path, batch=4)
    assert len(caught.value.messages) == 3
    decoded.clear()
    for path, seed in (("database/002.png", 2), ("database/005.png", 5), ("queries/001.png", 1001)):
        size = (64, 20) if seed % 3 == 2 else (33, 47)
        picture(*size, seed).save(tiny.root / path)
    repaired = features.extract(tiny, "L1", COLOUR, tmp_path, batch=4)
    # three shards were missing: images 2-3, images 4-5, and the queries
    assert set(decoded) == {f"database/00{i}.png" for i in (2, 3, 4, 5)} | {f"queries/00{i}.png" for i in range(3)}
    np.testing.assert_array_equal(repaired.descriptors, plain_loop(tiny, COLOUR, 1)[0])


@pytest.mark.usefixtures("small_shards")
def test_skip_bad_leaves_them_out_and_counts_them(tiny: Benchmark, tmp_path: Path) -> None:
    rows, queries = plain_loop(tiny, COLOUR, 1)
    spoil(tiny, "database/000.png", "database/004.png", "queries/001.png")
    got = features.extract(tiny, "L1", COLOUR, tmp_path, skip_bad=True)
    assert np.diff(got.offsets).tolist() == [0, 5, 5, 5, 0, 5, 5]
    keep = np.repeat([False, True, True, True, False, True, True], 5)
    np.testing.assert_array_equal(got.descriptors, rows[keep])
    np.testing.assert_array_equal(got.boxes, regions.of_benchmark(tiny, "L1")[0][keep])
    np.testing.assert_array_equal(got.query_descriptors, queries * [[1], [0], [1]])
    assert got.meta["bad_images"] == ["database/000.png", "database/004.png"]
    assert got.meta["bad_queries"] == ["queries/001.png"]
    with pytest.raises(features.BadImages):  # a run without the switch does not take what it left
        features.extract(tiny, "L1", COLOUR, tmp_path)
    again = features.extract(tiny, "L1", COLOUR, tmp_path, skip_bad=True)
    assert again.meta == got.meta


def test_all_images_unreadable(tiny: Benchmark, tmp_path: Path) -> None:
    spoil(tiny, *tiny.images["path"])
    got = features.extract(tiny, "L1", COLOUR, tmp_path, skip_bad=True)
    assert got.descriptors.shape == (0, 3) and got.offsets.tolist() == [0] * 8


def test_an_image_that_is_a_query_as_well_is_listed_once(tiny: Benchmark, tmp_path: Path) -> None:
    spoil(tiny, "database/001.png")
    queries = tiny.queries.assign(path="database/001.png")
    twice = Benchmark("twice", tiny.root, tiny.images, queries, tiny.positives)
    with pytest.raises(features.BadImages, match=r"1 image cannot be read"):
        features.extract(twice, "L0", COLOUR, tmp_path)


@pytest.mark.usefixtures("small_shards")
def test_a_photo_that_was_replaced_is_described_again(tiny: Benchmark, tmp_path: Path) -> None:
    before = np.array(features.extract(tiny, "L1", COLOUR, tmp_path).descriptors)
    path = tiny.root / "database/003.png"
    Image.new("RGB", (40, 32), (255, 0, 0)).save(path)
    after = features.extract(tiny, "L1", COLOUR, tmp_path).descriptors
    changed = (before != after).any(axis=1)
    assert changed[15:20].all() and not changed[:15].any() and not changed[20:].any()


def test_a_photo_of_another_size_than_the_benchmark_says_is_not_used(tiny: Benchmark, tmp_path: Path) -> None:
    picture(20, 20, 0).save(tiny.root / "database/003.png")
    with pytest.raises(features.BadImages, match=r"003\.png has 20x20 pixels, the benchmark says 40x32; load"):
        features.extract(tiny, "L1", COLOUR, tmp_path)


def test_queries_are_cut_to_their_box(tiny: Benchmark, tmp_path: Path) -> None:
    def with_box(*box: float) -> Benchmark:
        queries = tiny.queries.copy()
        queries.loc[0, ["x0", "y0", "x1", "y1"]] = np.float32(box)
        return Benchmark("boxed", tiny.root, tiny.images, queries, tiny.positives)

    image = Image.open(tiny.root / "queries/000.png")  # 40x32
    corner = resized(image.crop((30, 20, 40, 32)), 8)
    got = features.extract(with_box(30, 20, 40, 32), "L0", COLOUR, tmp_path)
    np.testing.assert_array_equal(got.query_descriptors[:1], mean_colour(corner[None]))
    with pytest.warns(UserWarning, match=r"of query .*000\.png reaches beyond its image and was clipped"):
        clipped = features.extract(with_box(30, 20, 90, 33), "L0", COLOUR, tmp_path)
    np.testing.assert_array_equal(clipped.query_descriptors, got.query_descriptors)
    with pytest.raises(ValueError, match=r"000\.png lies wholly outside its image of 40x32 pixels"):
        features.extract(with_box(41, 0, 50, 5), "L0", COLOUR, tmp_path)


def test_images_in_a_tar(tiny: Benchmark, tmp_path: Path) -> None:
    with tarfile.open(tiny.root / "shard.tar", "w") as archive:
        for path in tiny.images["path"]:
            archive.add(tiny.root / path, path)
    packed = tiny.images.assign(path="shard.tar::" + tiny.images["path"])
    packed = Benchmark("packed", tiny.root, packed, tiny.queries, tiny.positives)
    got = features.extract(packed, "L1", COLOUR, tmp_path)
    np.testing.assert_array_equal(got.descriptors, plain_loop(tiny, COLOUR, 1)[0])


def test_regions_between_pixels_keep_their_pixels(tiny: Benchmark, tmp_path: Path) -> None:
    got = features.extract(tiny, lambda w, h: np.array([[1.5, 0.5, 2.5, 1.5]]), COLOUR, tmp_path)
    assert got.meta["regions"] == "custom"
    image = np.asarray(Image.open(tiny.root / "database/000.png"))
    np.testing.assert_allclose(got.descriptors[0], mean_colour(image[None, 1:2, 2:3])[0], atol=1e-6)


def test_a_full_disk_is_named_and_what_is_finished_is_kept(
    tiny: Benchmark, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch, decoded: Counter[str]
) -> None:
    save, left = np.save, [2]

    def full(file: object, array: np.ndarray) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, array)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk of .* is full; .* make room") as caught:
        patch.setattr(np, "save", full)
        features.extract(tiny, "L1", COLOUR, tmp_path, workers=1, batch=4)
    assert caught.value.errno == errno.ENOSPC
    decoded.clear()
    got = features.extract(tiny, "L1", COLOUR, tmp_path, workers=1, batch=4)
    assert sum(decoded.values()) == 10 - 3 - 2  # the shard of the queries and the first of the images were there
    np.testing.assert_array_equal(got.descriptors, plain_loop(tiny, COLOUR, 1)[0])


def test_too_little_room_is_said_before_the_work_and_counts_what_is_there(
    tiny: Benchmark, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch, decoded: Counter[str]
) -> None:
    needed = 2 * 7 * 5 * 3 * 4  # shards and array: 7 images, 5 regions, 3 dimensions, 4 bytes
    usage = type("Usage", (), {"free": needed - 1})
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="set PATCHLIB_CACHE to another disk"):
        features.extract(tiny, "L1", COLOUR, tmp_path)
    assert not decoded
    spoil(tiny, "database/006.png")
    monkeypatch.setattr(usage, "free", needed)
    with pytest.raises(features.BadImages):
        features.extract(tiny, "L1", COLOUR, tmp_path, batch=4)
    picture(40, 32, 6).save(tiny.root / "database/006.png")
    monkeypatch.setattr(usage, "free", needed - 6 * 5 * 3 * 4)  # six images' shards lie on the disk already
    assert features.extract(tiny, "L1", COLOUR, tmp_path, batch=4).n_images == 7


def test_an_encoder_that_gives_nan_is_not_taken_for_a_bad_image(tiny: Benchmark, tmp_path: Path) -> None:
    broken = encoder_of(lambda crops: np.full((len(crops), 3), np.nan, np.float32), 3, name="broken")
    with pytest.raises(ValueError, match="encoder broken gave NaN or infinity"):
        features.extract(tiny, "L1", broken, tmp_path, skip_bad=True)


def test_a_folder_of_other_settings_is_not_taken(tiny: Benchmark, tmp_path: Path) -> None:
    meta = tmp_path / features.extract(tiny, "L1", COLOUR, tmp_path).meta["name"] / "meta.json"
    content = provenance.read_json(meta)
    provenance.write_json(meta, content | {"config": content["config"] | {"batch": 1}})
    with pytest.raises(ValueError, match="belongs to other settings .* remove it and run again"):
        features.extract(tiny, "L1", COLOUR, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dtype": "int8"}, "dtype is 'int8', expected 'float32' or 'float16'"), ({"batch": 0}, "batch is 0"),
     ({"workers": 0}, "workers is 0")],
)  # fmt: skip
def test_settings_that_cannot_be(options: dict, message: str, tiny: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        features.extract(tiny, "L1", COLOUR, tmp_path, **options)


def test_half_precision_rounds_the_database_and_not_the_queries(tiny: Benchmark, tmp_path: Path) -> None:
    wide, half = (features.extract(tiny, "L1", COLOUR, tmp_path, dtype=d) for d in ("float32", "float16"))
    np.testing.assert_array_equal(half.descriptors, np.asarray(wide.descriptors).astype(np.float16))
    np.testing.assert_array_equal(half.query_descriptors, wide.query_descriptors)


def test_the_threads_of_torch_are_as_before(tiny: Benchmark, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        features.extract(tiny, "L0", COLOUR, tmp_path, workers=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_shards_cover_everything_once_and_are_many_enough_for_the_workers(tiny: Benchmark, tmp_path: Path) -> None:
    def shards(size: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
        monkeypatch.setattr(feature_shards, "SHARD_REGIONS", size)
        job = extraction._plan(tiny, "L1", COLOUR, tmp_path, "float32", batch)
        return [(shard.kind, *map(int, shard.path.name.split("-")[1:3])) for shard in job.shards()]

    with pytest.MonkeyPatch.context() as patch:
        for size in (1, 5, 9, 10, 2048):
            for batch in (1, 12, 64):
                for kind, count in (("query", 3), ("image", 7)):
                    edges = [edge for name, *edge in shards(size, batch, patch) if name == kind]
                    assert [i for first, last in edges for i in range(first, last)] == list(range(count))
        assert len(shards(2048, 1, patch)) == 3 + 7  # a few regions are still shared out
        assert len(shards(2048, 10, patch)) == 1 + 4  # but no batch is made smaller


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_coarser_level_out_of_a_finer_one(level: int, tiny: Benchmark, tmp_path: Path) -> None:
    spoil(tiny, "database/002.png")
    fine = features.extract(tiny, "L3", COLOUR, tmp_path, skip_bad=True)
    taken, own = fine.at_level(level), features.extract(tiny, level, COLOUR, tmp_path, skip_bad=True)
    for name in ("descriptors", "boxes", "offsets", "query_descriptors"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(own, name))
    assert taken.meta["regions"] == f"L{level}" == own.meta["regions"]
    if level < 3:
        assert taken.meta["name"] != fine.meta["name"] and taken.meta["hash"] != fine.meta["hash"]
        assert taken.at_level(level) is taken
        with pytest.raises(ValueError, match=f"level L3 cannot be taken out of the regions 'L{level}'"):
            taken.at_level(3)


def test_a_finished_set_on_a_drive_that_cannot_be_written_is_used(
    tiny: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders.create("colour-histogram")
    made = extraction.extract(tiny, "L1", encoder, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    again = extraction.extract(tiny, "L1", encoder, tmp_path)
    assert (again.descriptors == made.descriptors).all()
    with pytest.raises(OSError, match=r"cannot write in .* \(Read-only file system\); set PATCHLIB_CACHE"):
        extraction.extract(tiny, "L0", encoder, tmp_path)


def test_numpys_short_write_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk of .* is full"), files.full_disk_explained(tmp_path, "PATCHLIB_CACHE"):
        raise OSError("23040 requested and 22496 written")
