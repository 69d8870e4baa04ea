"""The same question to a vector database: the best patch of every image, images ranked by it.

Patches travel as a Parquet file of :func:`export`. Milvus and Qdrant load it and answer as :func:`patchlib.search.rank`
does, embedded in this process or, with an address, on a server or cluster; for Vespa there is an application to deploy.
``pip install '.[engines]'``. Embedded ones prove the recipe and look at every patch: a server is for speed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib import regions
from patchlib.features.feature_set import FeatureSet
from patchlib.search import Ranking
from patchlib.support import provenance

BATCH = 1000  # rows that are sent at a time
PATIENCE = 2  # seconds of a request until a server that does not answer is given up; libraries ask twice
SERVICES = """<services version="1.0">
  <container id="default" version="1.0"><search/><document-api/></container>
  <content id="patches" version="1.0"><redundancy>1</redundancy>
    <documents><document type="image" mode="index"/></documents>
    <nodes><node hostalias="node1" distribution-key="0"/></nodes></content>
</services>
"""
SCHEMA = """schema image {
  document image {
    field image_id type long { indexing: attribute | summary }
    field vectors type tensor<float>(patch{}, x[DIM]) {
      indexing: attribute | index
      attribute { distance-metric: prenormalized-angular } }
  }
  rank-profile patches {
    inputs { query(q) tensor<float>(x[DIM]) }
    first-phase { expression: 1 - distance(field, vectors) }
    match-features: closest(vectors) }
}
"""


Hit = tuple[int, int, float]  # image, its best patch, and that one's score


@dataclass(frozen=True)
class Engine:
    """A collection that is loaded; ``ask(row, k)`` gives at most k groups, ``close()`` lets go of files or sockets."""

    ask: Callable[[list[float], int], list[Hit]]
    close: Callable[[], object]

    def rank(self, query_descriptors: NDArray[np.floating], k: int) -> Ranking:
        """The first k images of (Q, D) unit rows, asked one by one, as :func:`patchlib.search.rank` gives them.

        Where an engine returns fewer groups than k, the rest has image and region -1 and score -inf.
        """
        rows = np.asarray(query_descriptors, np.float32).tolist()
        found = [sorted(self.ask(row, k), key=lambda hit: (-hit[2], hit[0])) for row in rows]
        table = np.array([hits + [(-1, -1, -np.inf)] * (k - len(hits)) for hits in found]).reshape(-1, k, 3)
        return Ranking(table[..., 0].astype(np.int32), table[..., 2].astype(np.float32), table[..., 1].astype(np.int32))


def export(features: FeatureSet, path: str | Path) -> Path:
    """Write a feature set as Parquet: ``image_id, patch_id, level, x0, y0, x1, y1, vector``, a row a patch.

    ``image_id`` and ``patch_id`` are indices of image and row, as rankings have them; ``level`` is the first grid level
    0..3 with the patch (of grid features), boxes are xyxy pixels, ``vector`` D float32 numbers. ValueError where
    pyarrow is not installed.
    """
    with _installed("pyarrow"):
        import pyarrow as pa
        from pyarrow import parquet
    dim = features.descriptors.shape[1]
    levels = np.searchsorted(regions.PATCHES, features.number_in_image(), side="right")
    numbers: dict[str, NDArray[Any]] = {
        "image_id": features.image_of(),
        "patch_id": np.arange(len(levels)),
        "level": levels.astype(np.int8),
    }
    numbers |= dict(zip(("x0", "y0", "x1", "y1"), np.asarray(features.boxes).T, strict=True))
    fields = [(name, pa.from_numpy_dtype(values.dtype)) for name, values in numbers.items()]
    schema = pa.schema([*fields, ("vector", pa.list_(pa.float32(), dim))])
    with provenance.atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for first in range(0, len(levels), 64 * BATCH):
            part = slice(first, first + 64 * BATCH)
            flat = np.asarray(features.descriptors[part], np.float32).ravel()
            columns = [*(values[part] for values in numbers.values()), pa.FixedSizeListArray.from_arrays(flat, dim)]
            writer.write_table(pa.table(columns, schema=schema))
    return Path(path)


def load_milvus(uri: str, path: str | Path | None = None, collection: str = "patches") -> Engine:
    """Load a file of :func:`export` into Milvus, exact inner products (FLAT), and answer by ``group_by_field``.

    Args:
        uri: file of milvus-lite, e.g. ``"patches.db"``, or address of a server, ``"http://host:19530"``.
        path: the file; None = ask the collection that is there.
        collection: its name; a new one where there is a ``path``.

    Raises:
        ValueError: pymilvus is not installed; the collection exists already, or does not; a row count differs.
        ConnectionError: the server does not answer within ``PATIENCE`` seconds.
    """
    with _installed("pymilvus"):
        from pymilvus import DataType, MilvusClient
    with _answering(uri, "milvus"):
        client = MilvusClient(uri, timeout=PATIENCE if "://" in uri else None)
        there = client.has_collection(collection)

    def shape() -> tuple[int, int]:
        (vector,) = (f for f in client.describe_collection(collection)["fields"] if f["name"] == "vector")
        (count,) = client.query(collection, "", ["count(*)"], consistency_level="Strong")
        return count["count(*)"], vector["params"]["dim"]

    def create(dim: int) -> None:
        schema = client.create_schema()
        schema.add_field("patch_id", DataType.INT64, is_primary=True)
        schema.add_field("image_id", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_collection(collection, schema=schema, index_params=index)

    def insert(rows: dict[str, Any]) -> None:
        client.insert(collection, [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)])

    _fill(client, path, collection, there, create, insert, shape, client.drop_collection)
    client.load_collection(collection)

    def ask(query: list[float], k: int) -> list[Hit]:
        grouped = {"group_by_field": "image_id", "output_fields": ["image_id"]}
        (hits,) = client.search(collection, [query], anns_field="vector", limit=k, **grouped)
        return [(hit["entity"]["image_id"], hit["patch_id"], hit["distance"]) for hit in hits]

    return Engine(ask, client.close)


def load_qdrant(location: str, path: str | Path | None = None, collection: str = "patches") -> Engine:
    """Load a file of :func:`export` into Qdrant, dot products, and answer by ``query_points_groups``.

    Args:
        location: a folder, ``":memory:"``, or address of a server, ``"http://host:6333"``.
        path, collection: as of :func:`load_milvus`, and so are the errors.
    """
    with _installed("qdrant_client"):
        from qdrant_client import QdrantClient, models
    remote = "://" in location
    exact = models.SearchParams(exact=True) if remote else None  # embedded, it always is
    with _answering(location, "qdrant"):
        if remote:
            QdrantClient(location, timeout=PATIENCE, check_compatibility=False).get_collections()
        client = QdrantClient(location) if remote or location == ":memory:" else QdrantClient(path=location)
        there = client.collection_exists(collection)

    def shape() -> tuple[int, int]:
        vectors: Any = client.get_collection(collection).config.params.vectors
        return client.count(collection, exact=True).count, vectors.size

    def create(dim: int) -> None:
        client.create_collection(collection, models.VectorParams(size=dim, distance=models.Distance.DOT))
        if remote:  # embedded, it has no effect
            client.create_payload_index(collection, "image_id", models.PayloadSchemaType.INTEGER)

    def insert(rows: dict[str, Any]) -> None:
        payloads = [{"image_id": image} for image in rows["image_id"]]
        client.upsert(collection, models.Batch(ids=rows["patch_id"], vectors=rows["vector"], payloads=payloads))

    _fill(client, path, collection, there, create, insert, shape, client.delete_collection)

    def ask(query: list[float], k: int) -> list[Hit]:
        found = client.query_points_groups(collection, "image_id", query, search_params=exact, limit=k, group_size=1)
        return [(int(group.id), int(group.hits[0].id), group.hits[0].score) for group in found.groups]

    return Engine(ask, client.close)


def write_vespa(features: FeatureSet, folder: str | Path) -> Path:
    """Write a Vespa application: ``services.xml``, ``schemas/image.sd`` and ``feed.jsonl``, a document an image.

    After ``vespa deploy FOLDER; vespa feed FOLDER/feed.jsonl`` this query ranks images by their best patch, which
    ``matchfeatures`` names in ``closest(vectors)``::

        vespa query 'yql=select image_id, matchfeatures from image where {targetHits: 10}nearestNeighbor(vectors, q)' \\
            ranking=patches 'input.query(q)=[0.1, ...]'

    Source: docs.vespa.ai, "Nearest neighbor search" and the rank features ``distance`` and ``closest``.
    """
    folder, dim = Path(folder), str(features.descriptors.shape[1])
    provenance.write_changed(folder / "services.xml", SERVICES)
    provenance.write_changed(folder / "schemas" / "image.sd", SCHEMA.replace("DIM", dim))
    with provenance.atomic_write(folder / "feed.jsonl", "w") as file:
        for image in range(features.n_images):
            rows = features.rows(image)
            vectors = np.asarray(features.descriptors[rows], np.float32).tolist()
            blocks = {str(rows.start + number): vector for number, vector in enumerate(vectors)}
            fields = {"image_id": image, "vectors": {"blocks": blocks}}
            file.write(json.dumps({"put": f"id:patches:image::{image}", "fields": fields}) + "\n")
    return folder


def _fill(client: Any, path: Any, name: str, there: bool, create: Any, insert: Any, shape: Any, drop: Any) -> None:
    """Create the collection ``name`` and send all rows of a file; whatever goes wrong, none is left half-loaded."""
    try:
        if path is None and not there:
            raise ValueError(f"there is no collection {name!r}; pass the path of a file of engines.export")
        if path is None:
            return
        with _installed("pyarrow"):
            from pyarrow import parquet
        with parquet.ParquetFile(path) as file:
            wanted = file.metadata.num_rows, file.schema_arrow.field("vector").type.list_size
            told = f"rows and dimensions, {path} has {wanted}"
            if there:
                raise ValueError(f"{name!r} exists with {shape()} {told}; take another name, or no path to ask it")
            try:
                create(wanted[1])
                for batch in file.iter_batches(BATCH, columns=["patch_id", "image_id", "vector"]):
                    insert(batch.to_pydict())
                if shape() != wanted:
                    raise ValueError(f"{name!r} came to hold {shape()} {told}; it is dropped")
            except BaseException:
                drop(name)
                raise
    except BaseException:
        client.close()
        raise


@contextmanager
def _installed(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ValueError(f"{package} is not installed ({error}); pip install '.[engines]'") from error


@contextmanager
def _answering(address: str, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each library has classes of its own
        raise ConnectionError(f"{kind} at {address} does not answer or open ({error}); is it running?") from error
