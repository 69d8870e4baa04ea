"""Vector databases against brute force: winners, errors, nothing half-loaded. Without an engine its tests skip."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from builders import resembling

from patchlib import search
from patchlib.features.feature_set import FeatureSet
from patchlib.scale import engines

IMAGES, DIM = 67, 32
MISSING = [name for name in ("pyarrow", "pymilvus", "milvus_lite", "qdrant_client") if not find_spec(name)]
needs_engines = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (pip install '.[engines]')"
)
EMBEDDED = {"milvus": (engines.load_milvus, "patches.db"), "qdrant": (engines.load_qdrant, ":memory:")}
both = pytest.mark.parametrize("name", list(EMBEDDED))


@pytest.fixture(scope="module")
def patches() -> FeatureSet:
    """2,010 of them."""
    return resembling(IMAGES, 30, DIM)


def place_of(name: str, folder: Path) -> tuple[Callable[..., engines.Engine], str]:
    load, place = EMBEDDED[name]
    return load, place if place == ":memory:" else str(folder / place)


@needs_engines
@both
def test_winners_are_those_of_brute_force(name: str, patches: FeatureSet, tmp_path: Path) -> None:
    load, place = place_of(name, tmp_path)
    engine = load(place, engines.export(patches, tmp_path / "patches.parquet"))
    found, exact = engine.rank(patches.query_descriptors, 10), search.rank(patches.query_descriptors, patches, 10)
    np.testing.assert_array_equal(found.images, exact.images)
    np.testing.assert_array_equal(found.regions, exact.regions)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    more = engine.rank(patches.query_descriptors[:1], IMAGES + 3)
    assert (more.images[0, IMAGES:] == -1).all() and np.isneginf(more.scores[0, IMAGES:]).all()
    engine.close()


@needs_engines
def test_what_is_loaded_can_be_asked_again_and_is_not_loaded_over(patches: FeatureSet, tmp_path: Path) -> None:
    source, place = engines.export(patches, tmp_path / "patches.parquet"), str(tmp_path / "patches.db")
    engines.load_milvus(place, source).close()
    other = engines.export(resembling(10, 5, 8), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"'patches' exists with \(2010, 32\) rows and dimensions.* has \(50, 8\)"):
        engines.load_milvus(place, other)
    again = engines.load_milvus(place)
    assert again.rank(patches.query_descriptors[:1], 1).images[0, 0] == 0
    again.close()


@needs_engines
@both
def test_nothing_is_left_half_loaded(
    name: str, patches: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymilvus import MilvusClient
    from qdrant_client import QdrantClient

    dropped, sent = [], []
    for client, method, drop in (
        (MilvusClient, "insert", "drop_collection"),
        (QdrantClient, "upsert", "delete_collection"),
    ):
        whole = getattr(client, method)
        monkeypatch.setattr(client, method, lambda *a, whole=whole: sent.append(1) or (len(sent) < 3 and whole(*a)))
        gone = getattr(client, drop)
        monkeypatch.setattr(client, drop, lambda *a, gone=gone: dropped.append(a[1]) or gone(*a))
    load, place = place_of(name, tmp_path)
    source = engines.export(patches, tmp_path / "patches.parquet")
    with pytest.raises(ValueError, match=r"'patches' came to hold \(2000, 32\) rows.* has \(2010, 32\)"):
        load(place, source)
    assert dropped == ["patches"]


@needs_engines
@both
def test_a_collection_that_is_not_there(name: str, tmp_path: Path) -> None:
    load, place = place_of(name, tmp_path)
    with pytest.raises(ValueError, match="no collection 'absent'; pass the path of a file of engines.export"):
        load(place, collection="absent")


@needs_engines
@both
@pytest.mark.parametrize("mute", [False, True])
def test_an_address_that_does_not_answer_is_given_up_within_five_seconds(name: str, mute: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not mute:
            server.close()
        start = time.monotonic()
        with pytest.raises(ConnectionError, match=rf"{name} at http://127.0.0.1:{port} does not answer"):
            EMBEDDED[name][0](f"http://127.0.0.1:{port}")
        assert time.monotonic() - start < 5


@needs_engines
def test_a_file_holds_every_patch_with_its_box_and_level(patches: FeatureSet, tmp_path: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(engines.export(patches, tmp_path / "patches.parquet")).to_pandas()
    assert table.columns.tolist() == ["image_id", "patch_id", "level", "x0", "y0", "x1", "y1", "vector"]
    np.testing.assert_array_equal(table["image_id"], np.arange(2010) // 30)
    np.testing.assert_array_equal(table["level"][:30], [0] * 1 + [1] * 4 + [2] * 9 + [3] * 16)
    np.testing.assert_array_equal(table[["x0", "y0", "x1", "y1"]], patches.boxes)
    np.testing.assert_array_equal(np.stack(table["vector"]), patches.descriptors)


@pytest.mark.parametrize("load", [engines.load_milvus, engines.load_qdrant])
def test_an_engine_that_is_not_installed(load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pymilvus", "qdrant_client"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ValueError, match=r"is not installed .*pip install '\.\[engines\]'"):
        load("patches.db")


def test_a_vespa_application(tmp_path: Path) -> None:
    few = resembling(4, 5, 8)
    folder = engines.write_vespa(few, tmp_path / "app")
    services = ElementTree.parse(folder / "services.xml").getroot()
    assert [node.tag for node in services] == ["container", "content"]
    schema = (folder / "schemas" / "image.sd").read_text()
    assert schema.count("{") == schema.count("}") and schema.count("x[8]") == 2 and "closest(vectors)" in schema
    feed = [json.loads(line) for line in (folder / "feed.jsonl").read_text().splitlines()]
    assert [line["put"] for line in feed] == [f"id:patches:image::{image}" for image in range(4)]
    blocks = feed[2]["fields"]["vectors"]["blocks"]
    assert list(blocks) == ["10", "11", "12", "13", "14"]
    np.testing.assert_allclose(blocks["12"], few.descriptors[12], rtol=1e-6)
