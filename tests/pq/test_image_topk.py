"""Image-level top K against brute force over decoded codes, in arithmetic without rounding, so that ties are exact."""

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchlib.pq import image_topk
from patchlib.search import Ranking

DIM = 8


def whole_number_index(rng: np.random.Generator, count: int, nlist: int, m: int) -> faiss.IndexIVFPQ:
    """An index whose centroids, codes and queries are small whole numbers: every sum of products is exact."""
    quantizer = faiss.IndexFlatIP(DIM)
    quantizer.add(rng.permutation(np.unique(rng.integers(-2, 3, (9 * nlist, DIM)), axis=0))[:nlist].astype(np.float32))
    index = faiss.IndexIVFPQ(quantizer, DIM, nlist, m, 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(rng.integers(-2, 3, 16 * DIM).astype(np.float32), index.pq.centroids)
    index.is_trained = True
    index.add(rng.integers(-2, 3, (count, DIM)).astype(np.float32))
    return index


def decoded(index: faiss.IndexIVFPQ) -> tuple[np.ndarray, np.ndarray]:
    """(R, D) vectors that the codes stand for, and the list (R,) of each."""
    vectors, lists = np.empty((index.ntotal, DIM), np.float32), np.empty(index.ntotal, int)
    index.make_direct_map()
    for row in range(index.ntotal):
        vectors[row] = index.reconstruct(row)
        lists[row] = index.direct_map.get(row) >> 32
    return vectors, lists


def brute_force(index: faiss.IndexIVFPQ, queries: np.ndarray, counts: np.ndarray, depth: int, nprobe: int) -> Ranking:
    """One loop per query, image and region."""
    vectors, lists = decoded(index)
    probed = index.quantizer.search(queries, nprobe)[1]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = []
    for query, open_lists in zip(queries, probed, strict=True):
        best = []
        for image in range(len(counts)):
            entries = [
                (-float(vectors[region] @ query), region)
                for region in range(offsets[image], offsets[image + 1])
                if lists[region] in open_lists
            ]
            score, region = min(entries, default=(np.inf, -1))
            best.append((score, image, region))
        rows.append(sorted(best)[:depth])
    return ranking_of(np.array(rows, dtype=float).reshape(len(queries), depth, 3))


def check(index: faiss.IndexIVFPQ, queries: np.ndarray, counts: np.ndarray, depth: int, nprobe: int) -> None:
    image_of = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    expected = brute_force(index, queries, counts, depth, nprobe)
    same(image_topk.rank_images(image_topk.Database(index, image_of, len(counts)), queries, depth, nprobe), expected)


def same(got: Ranking, expected: Ranking) -> None:
    for name in ("images", "scores", "regions"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("share", [0, 6, 10**9], ids=["growing k", "as shipped", "all codes"])
@given(seed=st.integers(0, 10**6), data=st.data())
def test_equals_brute_force_over_decoded_codes(share: int, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, data.draw(st.integers(1, 9)), data.draw(st.integers(1, 25)))
    counts[-1] += 1
    nlist, m = data.draw(st.sampled_from([1, 2, 5])), data.draw(st.sampled_from([1, 2, 4, 8]))
    index = whole_number_index(rng, int(counts.sum()), nlist, m)
    queries = rng.integers(-1, 2, (data.draw(st.integers(1, 4)), DIM)).astype(np.float32)
    depth, nprobe = data.draw(st.integers(1, len(counts))), data.draw(st.integers(1, nlist))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_topk, "SCAN_SHARE", share)
        check(index, queries, counts, depth, nprobe)


@pytest.mark.parametrize("share", [0, 10**9], ids=["growing k", "all codes"])
def test_images_that_repeat_one_patch_tie_in_index_order(monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    monkeypatch.setattr(image_topk, "SCAN_SHARE", share)
    rng = np.random.default_rng(0)
    index = whole_number_index(rng, 0, nlist=3, m=4)
    index.add(np.ones((300, DIM), np.float32))
    image_of = np.arange(300, dtype=np.int32) // 3
    database = image_topk.Database(index, image_of, 100)
    got = image_topk.rank_images(database, np.ones((1, DIM), np.float32), 7, 3)
    # 300 equal scores: nothing but the tie rule decides
    assert got.images[0].tolist() == list(range(7))
    assert got.regions[0].tolist() == [0, 3, 6, 9, 12, 15, 18]


def test_k_grows_past_an_image_that_fills_the_first_answers() -> None:
    rng = np.random.default_rng(1)
    index = whole_number_index(rng, 0, nlist=1, m=8)
    rows = rng.integers(-1, 2, (2000, DIM)).astype(np.float32)
    rows[:900] = 2  # the best 900 patches belong to one image
    index.add(rows)
    counts = np.r_[900, np.full(110, 10)]
    check(index, np.ones((2, DIM), np.float32), counts, 5, 1)


def test_batches_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    counts = np.full(30, 20)
    index = whole_number_index(rng, 600, nlist=4, m=2)
    monkeypatch.setattr(image_topk, "BATCH_BYTES", 1)
    check(index, rng.integers(-2, 3, (5, DIM)).astype(np.float32), counts, 4, 3)


@given(st.data())
def test_rankings_of_parts_are_put_together(data: st.DataObject) -> None:
    """Oracle: sort all regions at once. Scores are small whole numbers, so that many tie."""
    n_images, n_parts, depth = (data.draw(st.integers(1, high)) for high in (12, 4, 12))
    depth = min(depth, n_images)
    region = st.tuples(st.integers(-2, 2), st.integers(0, n_images - 1), st.integers(0, n_parts - 1))
    drawn = sorted(data.draw(st.lists(region)), key=lambda entry: entry[1])
    entries = [(score, image, region, part) for region, (score, image, part) in enumerate(drawn)]
    database = image_topk.Database(None, np.array([image for _, image, _ in drawn], np.int32), n_images)
    merger = image_topk.RankingMerger(database, 1, depth)
    for number in range(n_parts):
        own = [entry[:3] for entry in entries if entry[3] == number]
        merger.add(np.array([0]), first_images(own, depth, n_images))
    expected = first_images([entry[:3] for entry in entries], depth, n_images)
    same(merger.ranking, expected)


def first_images(entries: list[tuple[int, int, int]], depth: int, n_images: int) -> Ranking:
    """A ranking of one query out of its (score, image, region)."""
    best: dict[int, tuple[float, int]] = dict.fromkeys(range(n_images), (np.inf, -1))
    for score, image, region in entries:
        best[image] = min(best[image], (-score, region))
    rows = sorted((score, image, region) for image, (score, region) in best.items())[:depth]
    return ranking_of(np.array([rows], float))


def ranking_of(table: np.ndarray) -> Ranking:
    """Out of (Q, K, 3): score turned round, image, region."""
    return Ranking(table[..., 1].astype(np.int32), -table[..., 0].astype(np.float32), table[..., 2].astype(np.int32))
