"""Size against accuracy and memory; indexes multiplied without encoding; the machine's record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import unit

from patchlib import metrics, search
from patchlib.pq import disk_files, file_size
from patchlib.pq.index import PatchIndex
from patchlib.scale import curves, distractors, measure, replicate
from patchlib.scale.distractors import Distractors, Task

PATCHES = (1, 5)


@pytest.fixture(scope="module")
def task() -> Task:
    rng = np.random.default_rng(0)
    queries = unit(rng.standard_normal((8, 16)))
    relevant = np.zeros((8, 300), bool)
    relevant[np.arange(24) % 8, np.arange(24)] = True
    images = rng.standard_normal((300, 5, 16))
    images[:24] += 1.2 * queries[np.arange(24) % 8][:, None]
    return Task(unit(images), queries, relevant, PATCHES)


@pytest.fixture(scope="module")
def model(task: Task) -> Distractors:
    return Distractors(task.images[task.wrong], 0.2)


@pytest.fixture(scope="module")
def source(task: Task, model: Distractors) -> PatchIndex:
    return PatchIndex.build(replicate.pool(task, model, 200), nlist=8, m=8, nbits=6)


def test_accuracy_of_real_images_is_that_of_a_search(task: Task, model: Distractors) -> None:
    table = curves.accuracy(task, model, [300], 100, 10)
    assert table["kind"].tolist() == ["measured"] * 2
    pooled = replicate.pool(task, model, 0)
    for level, patches in enumerate(PATCHES):
        rows = pooled.descriptors.reshape(300, 5, 16)[:, :patches]
        order = np.argsort(-(rows @ task.queries.T).max(axis=1).T, axis=1, kind="stable")
        relevant = np.take_along_axis(task.relevant, order, axis=1)
        expected = 100 * metrics.average_precision(relevant[:, :100], task.n_right, k=100).mean()
        assert table["mAP"][level] == pytest.approx(expected, abs=1e-4)


def test_accuracy_with_simulated_images_is_that_of_a_search(task: Task, model: Distractors) -> None:
    """The images that are counted one by one are those that a pool holds."""
    table = curves.accuracy(task, model, [100, 300, 700, 5000], 100, 400).set_index(["images", "level"])
    assert table["kind"].unstack()[0].to_dict() == {
        100: "measured", 300: "measured", 700: "simulated", 5000: "extrapolated"
    }  # fmt: skip
    pooled = replicate.pool(task, model, 400)
    found = search.rank(task.queries, pooled)
    ap = curves.average_precision_of(found, task.relevant, 100)
    assert table["mAP"][700, 1] == pytest.approx(100 * ap.mean(), abs=1e-4)
    means = table["mAP"].unstack()
    assert (means.diff().dropna() <= 0).all().all()


def test_extrapolation_is_in_proportion(task: Task, model: Distractors) -> None:
    share = distractors.share_above(model, task, [400])[0]
    base = distractors.share_of(task, np.arange(300)) * (300 - task.n_right[:, None])
    expected = 100 * distractors.average_precision(base + share * 9700, task.n_right, 100).mean(axis=1)
    table = curves.accuracy(task, model, [10_000], 100, 400)
    np.testing.assert_allclose(table["mAP"], expected)


def test_agreement_with_itself(task: Task, model: Distractors) -> None:
    table = curves.agreement(task, model, model.draw(0, 450), 100)
    np.testing.assert_allclose(table["measured"], table["simulated"])
    assert table["images"].tolist() == [750, 750] and table["level"].tolist() == [0, 1]


def test_held_out_half_is_not_fitted(task: Task) -> None:
    found, table = curves.held_out(task, 100)
    assert len(found.images) == 138 and sorted(set(table["wrong"])) == [17, 34, 69, 138]
    others = np.array_split(np.random.default_rng(0).permutation(task.wrong), 2)[1]
    assert not (found.images[:, None] == task.images[others]).all(axis=(2, 3)).any()
    expected = distractors.average_precision(distractors.share_of(task, others) * 138, task.n_right, 100)
    np.testing.assert_allclose(table.query("wrong == 138")["measured"], 100 * expected.mean(axis=1))


def test_one_copy_is_the_index_itself(source: PatchIndex, task: Task, tmp_path: Path) -> None:
    same = replicate.multiply(source, 5, 300, 1, tmp_path)
    for nprobe in (2, 8):
        a, b = (index.search(task.queries, 50, nprobe) for index in (same, source))
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_copies_have_codes_of_their_list_and_real_images_come_once(source: PatchIndex, tmp_path: Path) -> None:
    large = replicate.multiply(source, 5, 300, 3, tmp_path)
    assert len(large.offsets) == 300 + 3 * 200 + 1 and large.ivf.ntotal == (300 + 3 * 200) * 5
    seen = []
    for number in range(8):
        codes, ids = disk_files.entries(large.ivf, number)
        own_codes, own_ids = disk_files.entries(source.ivf, number)
        rows, own = codes.reshape(len(ids), -1), own_codes.reshape(len(own_ids), -1)
        seen += ids.tolist()
        first = ids < 500 * 5
        by_id = dict(zip(own_ids.tolist(), own.tolist(), strict=True))
        assert {int(i): c for i, c in zip(ids[first], rows[first].tolist(), strict=True)} == by_id
        # each of the code's blocks is one that another code of the list has at the same place
        block = own.shape[1] // np.gcd(own.shape[1], 8)
        for start in range(0, own.shape[1], block):
            known = {bytes(code) for code in own[own_ids >= 1500][:, start : start + block]}
            assert {bytes(code) for code in rows[~first][:, start : start + block]} <= known
    assert sorted(seen) == list(range((300 + 600) * 5))


def test_coarser_level_keeps_the_first_patches(source: PatchIndex, tmp_path: Path) -> None:
    coarse = replicate.multiply(source, 1, 300, 2, tmp_path)
    assert coarse.ivf.ntotal == 300 + 2 * 200
    for number in range(8):
        codes, ids = disk_files.entries(coarse.ivf, number)
        own_codes, own_ids = disk_files.entries(source.ivf, number)
        kept = {
            i // 5: c for i, c in zip(own_ids, own_codes.reshape(len(own_ids), -1).tolist(), strict=True) if i % 5 == 0
        }
        got = dict(zip(ids.tolist(), codes.reshape(len(ids), -1).tolist(), strict=True))
        assert {i: c for i, c in got.items() if i < 500} == kept


def test_recall_by_hand() -> None:
    def ranking(*rows: list[int]) -> search.Ranking:
        images = np.array(rows, np.int32)
        return search.Ranking(images, np.zeros(images.shape, np.float32), images)

    found, truth = ranking([1, 2, 3], [4, 5, 6], [0, 0, 0]), ranking([3, 9, 1], [4, 5, 7])
    assert curves.recall(found, truth, 3) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert curves.recall(found, truth, 1) == pytest.approx((0 + 1) / 2)


def test_sizes_are_those_of_the_files() -> None:
    table = curves.sizes_table([1000], {"L1": 5}, 64, 16, 8)
    index = file_size.filled_index(5000, 64, 16, 8)
    assert table["L1", "PQ"][1000] == file_size.serialised_bytes(index) / 1e9
    assert table["L1", "exact"][1000] == 5000 * 64 * 4 / 1e9


def test_machine_run_end_to_end(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps in this process, on small arrays in the place of the built-in benchmark."""
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setattr(measure, "PROBES", (1, 8))
    monkeypatch.setattr(measure, "LEVELS", (0, 1))
    monkeypatch.setattr(measure, "CODES", 8)
    monkeypatch.setattr(measure, "DRAWN", 300)
    monkeypatch.setattr(measure, "_given", lambda: (task, task.images[100:]))

    def here(asked: object, *step: str) -> dict[str, object]:
        return json.loads(json.dumps(measure.STEPS[step[0]](asked, *step[1:])))  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "_step", here)
    arguments = ["--images", "2000", "--pool", "500", "--nlist", "16", "--folder", str(tmp_path / "work")]
    measure.main([*arguments, "--levels", "0"])
    measure.main([*arguments, "--levels", "1"])
    record = json.loads((tmp_path / "figures" / curves.RECORD).read_text())
    table = curves.machine_table(record)
    assert table.index.tolist() == [("L0", 1), ("L0", 8), ("L1", 1), ("L1", 8)]
    assert table.loc["L1", "codes"].tolist() == [(300 + 4 * 500) * 5] * 2
    assert (table.loc[(slice(None), 8), "found codes"] >= table.loc[(slice(None), 1), "found codes"].to_numpy()).all()
    assert record["machine"]["cores"] >= 1 and record["prepared"]["encoded_per_second"] > 0
    assert not list((tmp_path / "work").glob("L*"))
    measured = {"level": ["L0", "L1"], "mAP": [50.0, 60.0], "kind": ["measured"] * 2, "ms": [1.3, 2.5]}
    exact = pd.DataFrame({"images": 300, **measured})
    points = curves.points(exact, exact.drop(columns="kind"), record, {"L0": 1, "L1": 5}, 8, 1024)
    assert set(points["level"]) == {"L0", "L1"}
    # 300 patches in 1.3 ms, 1500 in 2.5 ms: a millisecond, and one more for every thousand patches
    ahead = points.query("images == 10_000_000").set_index("level")["ms"].dropna()
    assert ahead.to_dict() == pytest.approx({"L0": 1 + 10_000, "L1": 1 + 50_000})
    with pytest.raises(ValueError, match=r"nprobe is 9, but the machine has probed \[1, 8\] lists"):
        curves.points(exact, exact, record, {"L0": 1}, 9, 1024)
