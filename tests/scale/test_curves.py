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
from patchlib.pq.on_disk import DiskIndex
from patchlib.scale import curves, distractors, measure, replicate
from patchlib.scale.distractors import Distractors, Task

LEVELS = {"L0": 1, "L1": 5}


@pytest.fixture(scope="module")
def task() -> Task:
    rng = np.random.default_rng(0)
    queries = unit(rng.standard_normal((8, 16)))
    relevant = np.zeros((8, 300), bool)
    relevant[np.arange(24) % 8, np.arange(24)] = True
    images = rng.standard_normal((300, 5, 16))
    images[:24] += 1.2 * queries[np.arange(24) % 8][:, None]
    return Task(unit(images), queries, relevant, LEVELS)


@pytest.fixture(scope="module")
def model(task: Task) -> Distractors:
    return Distractors(task.images[task.negatives], 0.2)


@pytest.fixture(scope="module")
def source(task: Task, model: Distractors) -> PatchIndex:
    return PatchIndex.build(replicate.pool(task, model, 200), nlist=8, m=8, nbits=6)


def test_accuracy_of_real_images_is_that_of_a_search(task: Task, model: Distractors) -> None:
    table = curves.accuracy(task, model, [300], 100, 10).set_index("level")
    assert table["kind"].tolist() == ["measured"] * 2
    pooled = replicate.pool(task, model, 0)
    for level, patches in LEVELS.items():
        rows = pooled.descriptors.reshape(300, 5, 16)[:, :patches]
        order = np.argsort(-(rows @ task.queries.T).max(axis=1).T, axis=1, kind="stable")
        relevant = np.take_along_axis(task.relevant, order, axis=1)
        expected = 100 * metrics.average_precision(relevant[:, :100], task.n_positives, k=100).mean()
        assert table["mAP"][level] == pytest.approx(expected, abs=1e-4)


def test_accuracy_with_simulated_images_is_that_of_a_search(task: Task, model: Distractors) -> None:
    """The images that are counted one by one are those that a pool holds."""
    table = curves.accuracy(task, model, [100, 300, 700, 5000], 100, 400).set_index(["images", "level"])
    assert table["kind"].unstack()["L0"].to_dict() == {
        100: "measured", 300: "measured", 700: "simulated", 5000: "extrapolated"
    }  # fmt: skip
    pooled = replicate.pool(task, model, 400)
    expected = curves.mean_average_precision(search.rank(task.queries, pooled), task.relevant, 100)
    assert table["mAP"][700, "L1"] == pytest.approx(expected, abs=1e-4)
    means = table["mAP"].unstack()
    assert (means.diff().dropna() <= 0).all().all()


def test_extrapolation_is_in_proportion(task: Task, model: Distractors) -> None:
    share = distractors.share_above(model, task, [400])[0]
    base = distractors.share_of(task, np.arange(300)) * (300 - task.n_positives[:, None])
    expected = 100 * distractors.average_precision(base + share * 9700, task.n_positives, 100).mean(axis=1)
    table = curves.accuracy(task, model, [10_000], 100, 400)
    np.testing.assert_allclose(table["mAP"], expected)


def test_agreement_with_itself(task: Task, model: Distractors) -> None:
    table = curves.agreement(task, model, model.draw(0, 450), 100)
    np.testing.assert_allclose(table["measured"], table["simulated"])
    assert table["images"].tolist() == [750, 750] and table["level"].tolist() == ["L0", "L1"]


def test_held_out_half_is_not_fitted(task: Task) -> None:
    found, table = curves.held_out(task, 100)
    assert len(found.images) == 138 and sorted(set(table["negatives"])) == [17, 34, 69, 138]
    others = np.array_split(np.random.default_rng(0).permutation(task.negatives), 2)[1]
    assert not (found.images[:, None] == task.images[others]).all(axis=(2, 3)).any()
    expected = distractors.average_precision(distractors.share_of(task, others) * 138, task.n_positives, 100)
    np.testing.assert_allclose(table.query("negatives == 138")["measured"], 100 * expected.mean(axis=1))


def test_one_copy_is_the_index_itself(source: PatchIndex, task: Task, tmp_path: Path) -> None:
    same = replicate.replicate_codes(source, 5, 300, 1, tmp_path)
    for nprobe in (2, 8):
        a, b = (index.search(task.queries, 50, nprobe) for index in (same, source))
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.scores, b.scores)


def codes_by_id(index: PatchIndex | DiskIndex, number: int) -> dict[int, list[int]]:
    """Entries of a list."""
    codes, ids = disk_files.entries(index.ivf, number)
    return dict(zip(ids.tolist(), codes.reshape(len(ids), -1).tolist(), strict=True))


def test_copies_have_codes_of_their_list_and_real_images_come_once(source: PatchIndex, tmp_path: Path) -> None:
    large = replicate.replicate_codes(source, 5, 300, 3, tmp_path)
    assert len(large.offsets) == 300 + 3 * 200 + 1 and large.ivf.ntotal == (300 + 3 * 200) * 5
    seen: list[int] = []
    block = source.ivf.code_size // np.gcd(source.ivf.code_size, 8)
    for number in range(8):
        copied, own = codes_by_id(large, number), codes_by_id(source, number)
        seen += copied
        assert {i: code for i, code in copied.items() if i < 500 * 5} == own
        # each of a copy's blocks is one that another code of the list has at the same place
        for start in range(0, source.ivf.code_size, block):
            part = slice(start, start + block)
            known = {tuple(code[part]) for i, code in own.items() if i >= 300 * 5}
            assert {tuple(code[part]) for i, code in copied.items() if i >= 500 * 5} <= known
    assert sorted(seen) == list(range((300 + 600) * 5))


def test_coarser_level_keeps_the_first_patches(source: PatchIndex, tmp_path: Path) -> None:
    coarse = replicate.replicate_codes(source, 1, 300, 2, tmp_path)
    assert coarse.ivf.ntotal == 300 + 2 * 200
    for number in range(8):
        kept = {i // 5: code for i, code in codes_by_id(source, number).items() if i % 5 == 0}
        assert {i: code for i, code in codes_by_id(coarse, number).items() if i < 500} == kept


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
    monkeypatch.setattr(measure, "_task", lambda: (task, task.images[100:]))
    monkeypatch.setattr(measure, "_apart", lambda step, *arguments: step(*arguments))
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
    memory = curves.sizes_table([10**4, 10**7], LEVELS, 1024, 64, 4096)
    points = curves.points(exact, exact.drop(columns="kind"), memory, record, LEVELS, 8)
    assert set(points["level"]) == {"L0", "L1"}
    # 300 patches in 1.3 ms, 1500 in 2.5 ms: a millisecond, and one more for every thousand patches
    ahead = points.query("images == 10_000_000").set_index("level")["ms"].dropna()
    assert ahead.to_dict() == pytest.approx({"L0": 1 + 10_000, "L1": 1 + 50_000})
    with pytest.raises(ValueError, match=r"nprobe is 9, but the machine has probed \[1, 8\] lists"):
        curves.points(exact, exact, memory, record, LEVELS, 9)
