"""R-Oxford and R-Paris in their published layout: labels, junk by hand, and a pickle that may hold code."""

from __future__ import annotations

import os
import pickle

import layouts
import numpy as np
import pytest

from patchlib import metrics, search
from patchlib.benchmarks import load
from patchlib.benchmarks.image_files import published
from patchlib.download import manifest
from patchlib.studies import revisited

SOULS, BODLEIAN = layouts.REVISITED_TRUTH
S1, S2, B1, S3, C1, B2 = layouts.REVISITED


@pytest.fixture
def root(tmp_path):
    return layouts.write_revisited(tmp_path / "roxford5k")


@pytest.mark.parametrize(("protocol", "arrays"), [(0, False), (2, True), (5, False), (5, True)])
def test_tables(tmp_path, protocol, arrays):
    data = load("roxford5k", layouts.write_revisited(tmp_path / "r", protocol, arrays))
    assert data.images["image_id"].tolist() == layouts.REVISITED
    assert data.images["path"].tolist()[:2] == [f"jpg/all_souls/{S1}.jpg", f"jpg/{S2}.jpg"]
    assert data.queries["query_id"].tolist() == [SOULS, BODLEIAN]
    assert [data.query_box(i).tolist() for i in range(2)] == [[5, 5.5, 25, 25], [0, 0, 40, 30]]
    assert data.meta["labels"][SOULS] == {"easy": [S3], "hard": [S1], "junk": [S2]}
    assert load("roxford5k", tmp_path / "r", query_box="whole").query_box(0) is None
    assert not data.has_boxes


@pytest.mark.parametrize(
    ("setting", "positives", "junk"),
    [("easy", [[S3], [B1, B2]], [[S1, S2], []]), ("medium", [[S1, S3], [B1, B2]], [[S2], []])]
    + [("hard", [[S1], []], [[S2, S3], [B1, B2]])],
)
def test_what_is_no_positive_in_a_setting_is_junk_with_the_junk(root, setting, positives, junk):
    data = load("roxford5k", root, setting=setting)
    names = data.images["image_id"].to_numpy()
    assert [names[data.relevant(query)[0]].tolist() for query in range(2)] == positives
    assert [names[np.sort(data.junk[query])].tolist() for query in range(2)] == junk


def ranked(data):
    """Query 1: junk, christ church, easy, bodleian, hard, bodleian. Query 2: easy first and last."""
    order = {SOULS: [S2, C1, S3, B1, S1, B2], BODLEIAN: [B1, C1, S1, S2, S3, B2]}
    scores = {(q, image, 0): 0.6 - 0.05 * place for q, images in order.items() for place, image in enumerate(images)}
    features = layouts.features_with(data, {}, scores)
    return search.rank(features.query_descriptors, features), features


def test_junk_takes_no_rank(root):
    # ranks without junk: medium C1 S3 B1 S1 B2; easy C1 S3 B1 B2; hard C1 B1 S1 B2
    expected = {"easy": 1 / 2, "medium": (1 / 2 + 2 / 4) / 2, "hard": 1 / 3}
    for setting, ap in expected.items():
        data = load("roxford5k", root, setting=setting)
        ranking, features = ranked(data)
        table = metrics.evaluate(ranking, data, features).set_index("query_id")
        assert table.loc[SOULS, "ap"] == pytest.approx(ap)
        if setting == "hard":  # a query without a hard image counts in no mean
            assert BODLEIAN not in table.index and table.attrs["queries_without_positives"] == 1
        else:
            assert table.loc[BODLEIAN, "ap"] == pytest.approx((1 + 2 / 6) / 2)


def test_the_published_scores_by_hand(root):
    for setting in ("easy", "hard"):  # whatever setting was loaded
        data = load("roxford5k", root, setting=setting)
        table = revisited.protocol(ranked(data)[0], data)
        assert table.loc[SOULS, "easy"] == pytest.approx((0 / 1 + 1 / 2) / 2)
        assert table.loc[SOULS, "medium"] == pytest.approx(((0 / 1 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
        assert table.loc[SOULS, "hard"] == pytest.approx((0 / 2 + 1 / 3) / 2)
        assert table.loc[BODLEIAN, "medium"] == pytest.approx(((1 + 1) / 2 + (1 / 5 + 2 / 6) / 2) / 2)
        assert np.isnan(table.loc[BODLEIAN, "hard"])
        with pytest.raises(ValueError, match="holds 3 of 6 images"):
            revisited.protocol(ranked(data)[0].head(3), data)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_code_in_the_pickle_is_not_run(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = root / "gnd_roxford5k.pkl"
    for content in ({"imlist": Harmful()}, {"imlist": np.array([Harmful()], object)}):
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=r"gnd_roxford5k\.pkl is not the published .*mkdir, which could run code"):
            load("roxford5k", root)
    assert not (tmp_path / "harm").exists()
    file.write_bytes(file.read_bytes()[:9])
    with pytest.raises(ValueError, match=r"gnd_roxford5k\.pkl is not the published ground truth .*fetch it again"):
        load("roxford5k", root)


NAMES = {"imlist": ["a", "b"], "qimlist": ["q"]}
ROW = {"bbx": [0, 0, 9, 9], "easy": [0], "hard": [1], "junk": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NAMES | {"gnd": [{"bbx": [0, 0, 9, 9], "ok": [0], "junk": []}]}, "another version: .*ok and junk.*'easy' is"),
        ({"imlist": ["a"]}, "another version: .*'qimlist' is missing"),
        ([], "another version"),
        (NAMES | {"qimlist": ["b"], "gnd": [ROW]}, "another version: 1 queries, .* for 1, 1 queries in the database"),
        (NAMES | {"gnd": []}, "another version: 1 queries, ground truth for 0"),
        (NAMES | {"gnd": [ROW | {"junk": [2]}]}, "images of q have two labels, or numbers beyond 0 to 1"),
        (NAMES | {"gnd": [ROW | {"junk": [0]}]}, "images of q have two labels"),
        (NAMES | {"gnd": [ROW | {"bbx": [1, 2]}]}, "the box of q has 2 numbers"),
    ],
)
def test_a_file_of_another_version_is_named(root, content, message):
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"gnd_roxford5k\.pkl.*{message}"):
        load("roxford5k", root)


def test_what_is_not_there_is_fetched_by_name(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gnd_rparis6k\.pkl .*data get rparis6k"):
        load("rparis6k", tmp_path)
    (root / f"jpg/{S2}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 8 images .*: {S2}; .*data get roxford5k"):
        load("roxford5k", tmp_path)  # the folder above does as well
    with pytest.raises(ValueError, match="setting is 'extreme', expected 'easy' or 'medium' or 'hard'"):
        load("roxford5k", root, setting="extreme")


def test_the_manifest_says_what_the_loader_says():
    for name, images in (("roxford5k", 4993), ("rparis6k", 6322)):
        facts, entry = published(name), manifest.load()[name]
        assert dict(entry.expected) == facts["counts"] == {"images": images, "queries": 70}
        assert facts["citation"].split() == entry.citation.split() and entry.layout == name
