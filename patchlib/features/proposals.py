"""Region proposals: boxes around whatever looks like an object, at most a few an image.

``selective_search`` needs no weights and no network. ``grounding_dino`` is the paper's detector; it needs the extra
``proposals`` and its weights. Both are used through :func:`of_benchmark`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import boxes as box_ops
from patchlib import images, regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.support import files, machine, progress

LIMIT = 20  # boxes an image; supplement S5
# of selective search: longer side of the image that it looks at, where larger finds more and takes longer; IoU with a
# larger box from which on a box is dropped; area of the smallest box, share of the image
SIDE, OVERLAP, SMALLEST = 160, 0.5, 0.004


@dataclass(frozen=True)
class Proposer:
    """Something that proposes regions."""

    name: str  # becomes the name of the region strategy
    # image -> (P, 4) boxes in its pixels, best first; P may be 0
    propose: Callable[[Image.Image], NDArray[np.floating]]
    config: dict[str, Any]  # everything that decides the boxes
    parallel: bool = True  # whether several threads may call ``propose``


@dataclass(frozen=True)
class Proposals:
    """Regions of a benchmark, and in how many images nothing was proposed, so that the whole image is the region."""

    regions: regions.Regions
    fallbacks: int


def of_benchmark(benchmark: Benchmark, proposer: Proposer, limit: int = LIMIT, workers: int | None = None) -> Proposals:
    """Propose at most ``limit`` regions for every database image; computed once, then read from the cache.

    An image in which nothing is found, or that cannot be read, is described as a whole. The extraction of features
    names the unreadable ones.

    Source: supplement S5 ("Region proposals").
    """
    if limit < 1:
        raise ValueError(f"limit is {limit} boxes an image, expected at least 1")

    def propose() -> dict[str, NDArray[Any]]:
        boxes, offsets = regions.stack(_propose_all(benchmark, proposer, limit, workers))
        return {"boxes": boxes, "offsets": offsets}

    settings = {"benchmark": benchmark.hash, "limit": limit, "proposer": proposer.name, "config": proposer.config}
    kept = files.kept_arrays("proposals", settings, propose)
    boxes, offsets = kept["boxes"], kept["offsets"]
    filled = []
    for index, (width, height) in enumerate(benchmark.images[["width", "height"]].to_numpy(int)):
        own = boxes[offsets[index] : offsets[index + 1]]
        filled.append(own if len(own) else regions.grid(width, height, 0))
    return Proposals(regions.Regions(proposer.name, *regions.stack(filled)), int((np.diff(offsets) == 0).sum()))


def selective_search() -> Proposer:
    """Class-agnostic proposals of OpenCV's selective search, large ones first, as its own order is random.

    Source: Uijlings et al., Selective Search for Object Recognition, IJCV 2013 ("single strategy" of OpenCV).
    """
    import cv2

    config = {"side": SIDE, "overlap": OVERLAP, "smallest": SMALLEST, "opencv": cv2.__version__}

    def propose(image: Image.Image) -> NDArray[np.float64]:
        scale = min(1.0, SIDE / max(image.size))
        small = image.resize([max(1, round(length * scale)) for length in image.size])
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.asarray(small.convert("RGB"))[:, :, ::-1].copy())
        search.switchToSingleStrategy()
        boxes = np.asarray(search.process(), np.float64).reshape(-1, 4)  # x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        return _distinct(boxes * np.tile(np.divide(image.size, small.size), 2), image.size)

    return Proposer("selective-search", propose, config)


def grounding_dino(
    prompt: str = "an object.",
    box_threshold: float = 0.15,
    text_threshold: float = 0.15,
    model: str = "IDEA-Research/grounding-dino-base",
    device: str = "cpu",
) -> Proposer:
    """The paper's detector. Its prompt and thresholds are not published: those here are ours.

    Args:
        prompt: lower-case phrases, each ended by a full stop.
        box_threshold, text_threshold: smallest score of a box, and of a word.
        model: name on the Hugging Face hub, or a folder.
        device: torch device.

    Raises:
        ModuleNotFoundError: the extra ``proposals`` is not installed.
        FileNotFoundError: the weights are neither cached nor to be fetched.

    Source: supplement S5; Liu et al., Grounding DINO, ECCV 2024.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Grounding DINO needs the package transformers: python -m pip install -e '.[proposals]'. "
            "Without it use proposals.selective_search()"
        ) from error
    import torch

    try:
        processor = transformers.AutoProcessor.from_pretrained(model)
        network = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(model).eval().to(device)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{model} is neither a folder nor cached, and cannot be fetched ({type(error).__name__}); go online once, "
            "or use proposals.selective_search()"
        ) from error
    config = {"prompt": prompt, "box_threshold": box_threshold, "text_threshold": text_threshold, "model": model}

    def propose(image: Image.Image) -> NDArray[np.float64]:
        inputs = processor(images=image, text=prompt, return_tensors="pt").to(device)
        with torch.inference_mode():
            output = network(**inputs)
        thresholds = {"threshold": box_threshold, "text_threshold": text_threshold}
        (detected,) = processor.post_process_grounded_object_detection(
            output, inputs["input_ids"], **thresholds, target_sizes=[image.size[::-1]]
        )
        order = np.argsort(-detected["scores"].cpu().numpy(), kind="stable")
        return detected["boxes"].cpu().numpy().astype(np.float64)[order]

    return Proposer("grounding-dino", propose, config, parallel=False)


def _propose_all(
    benchmark: Benchmark, proposer: Proposer, limit: int, workers: int | None
) -> list[NDArray[np.float32]]:
    def propose(index: int) -> NDArray[np.float32]:
        try:
            image = images.read(benchmark.image_path(index))
        except images.ImageError:
            return np.empty((0, 4), np.float32)
        boxes = np.asarray(proposer.propose(image), np.float32).reshape(-1, 4)[:limit]
        return box_ops.whole_pixels(boxes, *image.size)

    count, label = len(benchmark.images), f"{proposer.name} of {benchmark.name}"
    threads = (workers or machine.cores()) if proposer.parallel else 1
    with ThreadPoolExecutor(threads) as pool, progress.track(label, count, "image") as bar:
        per_image = []
        for boxes in pool.map(propose, range(count)):
            per_image.append(boxes)
            bar.update()
    return per_image


def _distinct(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes that are neither tiny nor the whole image nor slivers, large ones first, without near-duplicates."""
    import torch
    from torchvision.ops import nms

    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
    area = sides.prod(axis=1) / (size[0] * size[1])
    plausible = (area >= SMALLEST) & (area < 0.95) & (sides.max(axis=1) < 4 * sides.min(axis=1))
    boxes, area = boxes[plausible], area[plausible]
    order = np.lexsort((*boxes.T, -area))  # ties by coordinates, for OpenCV's order is random
    return boxes[order][nms(torch.from_numpy(boxes[order]), torch.from_numpy(area[order]), OVERLAP).numpy()]
