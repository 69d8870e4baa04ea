"""Indexes on disk: built in parts, merged, searched within a budget; full disks, lost parts, killed builds."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import pytest
from builders import feature_set
from faiss.contrib.ondisk import merge_ondisk

from patchlib import search
from patchlib.features.feature_set import FeatureSet
from patchlib.pq import disk_files, index, on_disk, training
from patchlib.pq.index import PatchIndex
from patchlib.support import paths, provenance

SETTINGS = {"nlist": 16, "m": 8, "nbits": 6}
FILES = {disk_files.DATA, disk_files.INDEX, on_disk.OFFSETS, on_disk.META}
PART = 2 * (6 + 8) * 500  # memory for 500 codes of 8 x 6 bits with their ids
IMPORTED = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # of this file and builders


def features_of(counts: list[int], seed: int = 0) -> FeatureSet:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((sum(counts), 32), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return feature_set(rows, counts, rows[::97] + 0.01, hash=f"seed{seed}")


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return features_of([5] * 400)


@pytest.fixture(scope="module")
def built(features: FeatureSet, tmp_path_factory: pytest.TempPathFactory) -> on_disk.DiskIndex:
    return on_disk.build(features, tmp_path_factory.mktemp("built"), **SETTINGS, memory=PART)


def build_elsewhere(folder: Path, before: str) -> subprocess.CompletedProcess[str]:
    """Build the index of :func:`features` in a process of its own, which does something before."""
    code = f"""
import sys
sys.path[:0] = {IMPORTED!r}
from test_on_disk import PART, SETTINGS, features_of, on_disk
{before}
on_disk.build(features_of([5] * 400), {str(folder)!r}, **SETTINGS, memory=PART)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.root())


def same(a: search.Ranking, b: search.Ranking) -> None:
    np.testing.assert_array_equal(a.images, b.images)
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.regions, b.regions)


@pytest.mark.parametrize("nprobe", [1, 5, None])
@pytest.mark.parametrize("k", [1, 30, None])
def test_answers_as_an_index_in_memory(
    built: on_disk.DiskIndex, features: FeatureSet, nprobe: int | None, k: int | None
) -> None:
    whole = PatchIndex.build(features, **SETTINGS)
    expected = whole.search(features.query_descriptors, k, nprobe)
    same(built.search(features.query_descriptors, k, nprobe), expected)
    largest = int(disk_files.sizes(built.ivf).max()) * (6 + 8)
    for memory in (largest, 3 * largest, 1 << 30):
        same(built.search(features.query_descriptors, k, nprobe, memory=memory), expected)


def test_only_some_lists_are_seen(built: on_disk.DiskIndex) -> None:
    before = disk_files.sizes(built.ivf)
    part = disk_files.read(built.folder, [2, 3, 11])
    expected = np.where(np.isin(np.arange(16), [2, 3, 11]), before, 0)
    np.testing.assert_array_equal(disk_files.sizes(training.lists_of(part)), expected)
    for number in (2, 11):
        got, own = (disk_files.entries(training.lists_of(i), number) for i in (part, built.index))
        assert got.codes.tolist() == own.codes.tolist() and got.ids.tolist() == own.ids.tolist()
    del part
    np.testing.assert_array_equal(disk_files.sizes(on_disk.load(built.folder).ivf), before)


def test_no_more_is_resident_than_allowed(tmp_path: Path) -> None:
    """64 MB of lists in a process of its own; with 8 MB at a time its memory grows by no more than twice that."""
    code = f"""
import sys
sys.path[:0] = {IMPORTED!r}
from pathlib import Path
import numpy as np
from builders import patches_of
from patchlib.pq import on_disk
from patchlib.scale import replicate
from patchlib.pq.index import PatchIndex
rng = np.random.default_rng(0)
images = rng.standard_normal((1000, 5, 32), dtype=np.float32)
source = PatchIndex.build(patches_of(images, images[:4, 0]), nlist=32, m=8, threads=1)
index = replicate.replicate_codes(source, 5, 0, 800, Path({str(tmp_path)!r}))
def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])
index.search(images[:4, 0], 10, memory=8 << 20, threads=1)  # what a first search loads stays
sizes, before = [], resident()
search = on_disk.PatchIndex.search
def watched(*arguments, **options):
    result = search(*arguments, **options)
    sizes.append(resident() - before)
    return result
on_disk.PatchIndex.search = watched
index.search(images[:4, 0], 10, memory=8 << 20, threads=1)
index.search(images[:4, 0], 10, threads=1)
print(len(sizes), max(sizes[:-1]), sizes[-1], index.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.root(), check=True)
    groups, bounded, free, size = map(int, done.stdout.split())
    assert size > 60e6 and groups >= 8
    assert bounded < 2 * (8 << 20) < 50e6 < free


def test_images_of_unequal_size(tmp_path: Path) -> None:
    odd = features_of([3, 0, 7] * 60)
    found = on_disk.build(odd, tmp_path, **SETTINGS, memory=PART)
    assert found.meta["regions_per_image"] is None
    expected = PatchIndex.build(odd, **SETTINGS).search(odd.query_descriptors, 20, 4)
    same(found.search(odd.query_descriptors, 20, 4), expected)
    same(found.search(odd.query_descriptors, 20, 4, memory=2000), expected)


def test_bytes_are_those_of_faiss_own_merge(features: FeatureSet, tmp_path: Path) -> None:
    empty = training.train(*index.settings(features, None, **SETTINGS))
    shards = []
    for number, start in enumerate(range(0, 400, 100)):
        shard = faiss.clone_index(empty)
        shard.add(features.descriptors[5 * start : 5 * (start + 100)])
        faiss.write_index(shard, str(tmp_path / f"{number}.faiss"))
        shards.append(str(tmp_path / f"{number}.faiss"))
    merge_ondisk(faiss.clone_index(empty), shards, str(tmp_path / "theirs"), shift_ids=True)
    on_disk.build(features, tmp_path / "ours", **SETTINGS, memory=PART)
    assert (tmp_path / "ours" / disk_files.DATA).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_plain_faiss_opens_it_wherever_it_is_moved(
    built: on_disk.DiskIndex, features: FeatureSet, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(built.folder, moved)
    plain = faiss.read_index(str(moved / disk_files.INDEX), faiss.IO_FLAG_ONDISK_SAME_DIR)
    parameters = faiss.SearchParametersIVF(nprobe=16)
    scores, _ = plain.search(features.query_descriptors, 1, params=parameters)
    found = on_disk.load(moved, features)
    np.testing.assert_array_equal(found.search(features.query_descriptors, 1).scores, scores)
    assert found.nbytes == sum(path.stat().st_size for path in moved.iterdir() if path.name in FILES)


def test_parts_are_gone_when_the_index_is_there(built: on_disk.DiskIndex) -> None:
    assert {path.name for path in built.folder.iterdir()} - {".lock"} == FILES | {on_disk.PLAN}


def test_nothing_is_made_twice(built: on_disk.DiskIndex, features: FeatureSet) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.folder.iterdir()}
    on_disk.build(features, built.folder, **SETTINGS, memory=10 * PART)
    assert {path: path.stat().st_mtime_ns for path in built.folder.iterdir()} == before | {
        built.folder / ".lock": (built.folder / ".lock").stat().st_mtime_ns
    }


def test_full_disk_names_the_file_and_keeps_the_parts(
    features: FeatureSet, built: on_disk.DiskIndex, tmp_path: Path
) -> None:
    """Files may not grow beyond a limit that parts fit in and the merged lists do not."""
    done = build_elsewhere(
        tmp_path,
        """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))
""",
    )
    assert f"[Errno {errno.EFBIG}] no space left for lists.ivfdata; finished parts are kept" in done.stderr
    assert len(list(tmp_path.glob("part-*.index"))) == 4 and not list(tmp_path.glob("*.part"))
    finished = on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    assert (finished.folder / disk_files.DATA).read_bytes() == (built.folder / disk_files.DATA).read_bytes()


@pytest.mark.parametrize("name", ["trained.faiss", "part-000000000-000000100.index", "index.faiss", "offsets.npy"])
def test_full_disk_at_any_file(
    features: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = provenance.atomic_write

    @contextmanager
    def full(path: Path, mode: str = "wb") -> Iterator[object]:
        with whole(path, mode) as file:
            yield file
            if Path(path).name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(provenance, "atomic_write", full)
    with pytest.raises(OSError, match=f"no space left for {name}; finished parts are kept"):
        on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    assert not (tmp_path / name).exists() and not (tmp_path / on_disk.META).exists()
    with pytest.raises(FileNotFoundError, match=r"no finished index; run on_disk\.build again"):
        on_disk.load(tmp_path)


def test_killed_build_goes_on(features: FeatureSet, built: on_disk.DiskIndex, tmp_path: Path) -> None:
    """The process kills itself where a third part begins; the first two are not made again."""
    done = build_elsewhere(
        tmp_path,
        """
import os, signal
add, calls = on_disk.index.add, []
def killed(*arguments):
    calls.append(add(*arguments))
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
on_disk.index.add = killed
""",
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("part-*.index")}
    assert len(kept) == 2

    merge, seen = on_disk._merged, []

    def watched(parts: list[Path]) -> object:
        seen.append({path: path.stat().st_mtime_ns for path in kept})
        return merge(parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_disk, "_merged", watched)
        on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    assert seen == [kept]
    assert (tmp_path / disk_files.DATA).read_bytes() == (built.folder / disk_files.DATA).read_bytes()


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (Path.unlink, FileNotFoundError, r"part-000000100-000000200\.index has disappeared; run .* again"),
        (lambda path: os.truncate(path, 1000), ValueError,
         r"part-000000100-000000200\.index is truncated .*: remove part-.* first, the other parts are kept"),
    ],
)  # fmt: skip
def test_harmed_part_is_named_and_made_again(
    features: FeatureSet, built: on_disk.DiskIndex, tmp_path: Path, harm: Callable, error: type[Exception], message: str
) -> None:
    merged = on_disk._merged

    def harmed(parts: list[Path]) -> Iterator[disk_files.Entries]:
        harm(parts[1])
        return merged(parts)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(error, match=message):
        patch.setattr(on_disk, "_merged", harmed)
        on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    (tmp_path / "part-000000100-000000200.index").unlink(missing_ok=True)
    assert len(list(tmp_path.glob("part-*.index"))) == 3
    again = on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    assert (again.folder / disk_files.DATA).read_bytes() == (built.folder / disk_files.DATA).read_bytes()


def test_damaged_files_are_named(features: FeatureSet, built: on_disk.DiskIndex, tmp_path: Path) -> None:
    for name, message in (
        (disk_files.DATA, r"lists\.ivfdata has \d+ bytes, expected"),
        (disk_files.INDEX, r"index\.faiss is missing or damaged; build the index again"),
    ):
        copy = tmp_path / name
        shutil.copytree(built.folder, copy)
        os.truncate(copy / name, (copy / name).stat().st_size // 2)
        with pytest.raises(ValueError, match=message):
            on_disk.load(copy)
    (tmp_path / disk_files.DATA / disk_files.DATA).unlink()
    with pytest.raises(ValueError, match=r"lists\.ivfdata has 0 bytes, expected"):
        on_disk.load(tmp_path / disk_files.DATA)


def test_too_small_a_disk_is_noticed_before_anything_is_written(
    features: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched(parts: list[Path]) -> Iterator[disk_files.Entries]:
        yield pytest.fail(f"{len(parts)} parts are read all the same")

    size = 2000 * (6 + 8)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=size - 1))
    monkeypatch.setattr(on_disk, "_merged", untouched)
    with pytest.raises(OSError, match=r"no space left for lists\.ivfdata; finished parts are kept"):
        on_disk.build(features, tmp_path, **SETTINGS, memory=PART)
    assert len(list(tmp_path.glob("part-*.index"))) == 4


def test_lists_that_lack_vectors_are_refused(features: FeatureSet, tmp_path: Path) -> None:
    empty = training.train(*index.settings(features, None, **SETTINGS))
    with pytest.raises(ValueError, match="the lists hold 0 vectors, expected 3"):
        disk_files.write(tmp_path, empty, 3, [])
    assert not (tmp_path / disk_files.DATA).exists()


def test_mistakes(features: FeatureSet, built: on_disk.DiskIndex, tmp_path: Path) -> None:
    queries = features.query_descriptors
    with pytest.raises(ValueError, match="holds another index, with m 8; choose another folder"):
        on_disk.build(features, built.folder, **{**SETTINGS, "m": 4})
    with pytest.raises(ValueError, match="indexes other features"):
        on_disk.load(built.folder, features_of([5] * 400, seed=1))
    with pytest.raises(ValueError, match=r"a list takes \d+ bytes, but memory is 10; allow"):
        built.search(queries, memory=10)
    with pytest.raises(ValueError, match="lies in the folder"):
        built.save(tmp_path / "copy")
    with pytest.raises(ValueError, match="nprobe is 17, expected 1 to 16"):
        built.search(queries, nprobe=17, memory=PART)
    with pytest.raises(FileNotFoundError, match="no finished index"):
        on_disk.load(tmp_path)
