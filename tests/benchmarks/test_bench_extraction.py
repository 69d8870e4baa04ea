"""Extraction at L3 beside its parts, beside the loop of a tutorial, and on more workers than one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from timeit import repeat

import numpy as np
import pytest
import torch
from builders import benchmark_on_disk
from dask.distributed import Client, LocalCluster
from PIL import Image
from ratios import WORKERS, Best, Ratios, rate
from torchvision import transforms

from patchlib import encoders, features, images, regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder

IMAGES, PATCHES = 64, 30
FOLDER = count()


def photographs(folder: Path, n_images: int, side: int = 640) -> Benchmark:
    """JPEG files, as photographs are kept."""
    tables = benchmark_on_disk(folder, n_images, 1, [(side, side * 3 // 4), (side * 3 // 4, side)])
    for path in tables.images["path"]:
        Image.open(folder / path).save((folder / path).with_suffix(".jpg"), quality=90)
    names = tables.images["path"].str.replace(".png", ".jpg")
    return Benchmark("photographs", folder, tables.images.assign(path=names), tables.queries, tables.positives)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return photographs(tmp_path_factory.mktemp("photos"), IMAGES)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """A new folder at each call."""
    folder = tmp_path_factory.mktemp("features")
    return lambda: folder / str(next(FOLDER))


def on_all_workers(task: Callable[[int], object], tasks: int) -> None:
    """On threads that give torch one thread each, as the extraction's do."""
    with ThreadPoolExecutor(WORKERS, initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(task, range(tasks)))


def decode_and_cut(photos: Benchmark, encoder: Encoder, index: int) -> None:
    image = images.read(photos.image_path(index))
    for _ in features.cut(image, regions.grid(*image.size, 3), encoder):
        pass


def crops_of(photos: Benchmark, encoder: Encoder, index: int) -> Iterator[Image.Image]:
    """What a tutorial writes: open, crop, resize."""
    image = Image.open(photos.image_path(index)).convert("RGB")
    resize = transforms.Resize((encoder.input_size,) * 2, transforms.InterpolationMode(encoder.interpolation))
    for box in regions.grid(*image.size, 3).astype(int).tolist():
        yield resize(image.crop(box))


def plain_loop(photos: Benchmark, encoder: Encoder) -> None:
    """What a tutorial writes: torchvision's transforms, and one forward an image on all cores."""
    specification = encoders.spec(encoder.name.removesuffix("-random"))
    steps = [transforms.ToTensor(), transforms.Normalize(specification.mean, specification.std)]
    prepare, dtype = transforms.Compose(steps), next(encoder.model.parameters()).dtype
    rows = []
    with torch.inference_mode():
        for index in range(len(photos.images)):
            batch = torch.stack([prepare(crop) for crop in crops_of(photos, encoder, index)])
            output = encoder.model(batch.to(encoder.device, dtype))
            rows.append(torch.nn.functional.normalize(output.float(), dim=1).cpu().numpy())
    np.concatenate(rows)


def test_decoding_and_cropping(photos: Benchmark, ratios: Ratios, best: Best) -> None:
    encoder = encoders.create("cnn-small")
    ours, theirs = best(
        lambda: on_all_workers(lambda index: decode_and_cut(photos, encoder, index), IMAGES),
        lambda: [np.stack([np.asarray(c) for c in crops_of(photos, encoder, i)]) for i in range(IMAGES)],
    )
    obvious = "open, crop, torchvision's Resize, one image after the other"
    ratios.add("decode and crop, L3", ours, theirs, IMAGES, "images", obvious)


@pytest.mark.parametrize("name", ["cnn-small", "vit-small"])
def test_extraction(name: str, photos: Benchmark, out: Callable[[], Path], ratios: Ratios, best: Best) -> None:
    """Beside the forward alone, beside what cropping and forward allow together, beside the loop."""
    encoder = encoders.create(name)
    ours, loop = measured(name, encoder, photos, out, ratios, best, rounds=3)
    obvious = "a loop: torchvision's transforms, one forward an image on all cores"
    ratios.add(f"extraction, {name}", ours, loop, len(photos.images), "images", obvious)


def test_extraction_with_a_network_of_the_papers_size(
    tmp_path: Path, out: Callable[[], Path], ratios: Ratios, best: Best
) -> None:
    """Random weights do not change speed; to be >= 90 % of the forward, as cropping is little beside it."""
    encoder = encoders.create("ResNet101", weights="random")
    photos = photographs(tmp_path / "photos", 4)
    measured("ResNet101", encoder, photos, out, ratios, best, rounds=1, batch=8)


def measured(
    name: str,
    encoder: Encoder,
    photos: Benchmark,
    out: Callable[[], Path],
    ratios: Ratios,
    best: Best,
    rounds: int,
    batch: int = 0,
) -> tuple[float, float]:
    """Seconds of an extraction and of the plain loop; adds a row of throughput."""
    n, batch = len(photos.images), batch or features.BATCH_CPU
    crops = np.zeros((batch, encoder.input_size, encoder.input_size, 3), np.uint8)
    cores = torch.get_num_threads()

    def extract() -> None:
        features.extract(photos, "L3", encoder, out(), workers=WORKERS, batch=batch)

    def loop() -> None:
        torch.set_num_threads(cores)
        plain_loop(photos, encoder)

    def forward() -> None:
        on_all_workers(lambda _: encoder.encode(crops), round(n * PATCHES / batch))

    def cut() -> None:
        on_all_workers(lambda index: decode_and_cut(photos, encoder, index), n)

    encoder.encode(crops)
    ours, alone, cutting, plain = best(extract, forward, cut, loop, rounds=rounds)
    torch.set_num_threads(cores)
    _row(ratios, name, f"CPU, {WORKERS} cores", n, (ours, alone, cutting + alone, plain))
    return ours, plain


def _row(ratios: Ratios, name: str, device: str, n: int, times: tuple[float, float, float, float]) -> None:
    """Times of extraction, the forward alone, the least that is possible here, and the plain loop."""
    ours, alone, possible, plain = times
    ratios.throughput.append(
        {
            "encoder": name,
            "device": device,
            "extraction": rate(n / ours, "images"),
            "forward alone": rate(n / alone, "images"),
            "% of the forward": round(100 * alone / ours, 1),
            "% of what is possible": round(100 * possible / ours, 1),
            "plain loop, % of the forward": round(100 * alone / plain, 1),
        }
    )


@contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """On this machine, a thread each."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers, timeout=60)
        yield client


def test_a_second_worker(tmp_path: Path, out: Callable[[], Path], ratios: Ratios, best: Best) -> None:
    """Dask workers of one thread each: two beside one. To be >= 1.7 on a machine with two free cores."""
    photos, encoder = photographs(tmp_path, 4 * IMAGES), encoders.create("cnn-small")

    def run(client: Client) -> bytes:
        return features.extract(photos, "L3", encoder, out(), executor=client).descriptors.tobytes()

    # one cluster at a time: an idle one takes its share of two cores
    with cluster_of(1) as client:
        expected = run(client)  # starts torch in every worker
        one = min(repeat(lambda: run(client), repeat=3, number=1))
    with cluster_of(2) as client:
        assert run(client) == expected
        (two,) = best(lambda: run(client))
    ratios.add(
        "extraction, a second worker", two, one, len(photos.images), "images", "one Dask worker in the place of two"
    )


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["SigLIP", "DINOv2"])
def test_extraction_on_a_gpu(name: str, tmp_path: Path, out: Callable[[], Path], ratios: Ratios, best: Best) -> None:
    """bfloat16 and random weights, at L3: to be >= 85 % of the forward alone, whose crops lie on the GPU beforehand."""
    encoder = encoders.create(name, "cuda", "random", "bfloat16")
    photos = photographs(tmp_path / "photos", 2048 if name == "SigLIP" else 512, side=1024)
    n, batch = len(photos.images), features.BATCH_GPU
    ready = torch.zeros((batch, 3, encoder.input_size, encoder.input_size), device="cuda", dtype=torch.bfloat16)
    ready = ready.to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(round(n * PATCHES / batch)):
                encoder.model(ready)
        torch.cuda.synchronize()

    def extract() -> None:
        features.extract(photos, "L3", encoder, out(), dtype="float16", workers=WORKERS)

    some = photos.subset(range(n // 16))
    forward(), plain_loop(some, encoder)  # first calls choose their kernels
    ours, alone, loop = best(extract, forward, lambda: plain_loop(some, encoder), rounds=2)
    _row(ratios, name, torch.cuda.get_device_name(), n, (ours, alone, alone, loop * n / len(some.images)))
