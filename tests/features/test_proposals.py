"""Region proposals: what is found, the fall-back to the whole image, the optional detector."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import benchmark_on_disk
from PIL import Image, ImageDraw

from patchlib import boxes as box_ops
from patchlib.features import proposals

OBJECT = (50, 40, 130, 110)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def drawn() -> Image.Image:
    image = Image.new("RGB", (240, 160), (90, 140, 90))
    ImageDraw.Draw(image).rectangle(OBJECT, fill=(200, 40, 40))
    ImageDraw.Draw(image).ellipse((170, 90, 220, 140), fill=(30, 30, 200))
    return image


def test_selective_search_finds_what_stands_out() -> None:
    found = proposals.selective_search().propose(drawn())
    # segments reach a pixel or two of the reduced image beyond the object
    assert box_ops.iou(found, [OBJECT]).max() > 0.75
    assert box_ops.iou(found, [(170, 90, 220, 140)]).max() > 0.65
    area = box_ops.area(found)
    assert (np.diff(area) <= 0).all() and area[0] < 0.95 * 240 * 160
    overlaps = box_ops.iou(found, found) - np.eye(len(found))
    assert overlaps.max() <= 0.5


def test_selective_search_gives_the_same_boxes_again() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)
    runs = [proposals.selective_search().propose(image) for _ in range(3)]
    assert len(runs[0]) > 5
    assert (runs[0] == runs[1]).all() and (runs[0] == runs[2]).all()


def _stub(calls: list[tuple[int, int]]) -> proposals.Proposer:
    """Proposes nothing in wide images, three boxes in others."""

    def propose(image: Image.Image) -> np.ndarray:
        calls.append(image.size)
        return np.empty((0, 4)) if image.width > 50 else np.array([[0, 0, 9.4, 9.6], [1, 1, 5, 5], [2, 2, 8, 99]])

    return proposals.Proposer("stub", propose, {"version": 1})


def test_nothing_found_means_the_whole_image_and_is_counted(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=3)  # 40 x 32, 33 x 47, 64 x 20
    calls: list[tuple[int, int]] = []
    found = proposals.of_benchmark(data, _stub(calls), limit=2, workers=1)
    assert found.fallbacks == 1
    assert found.regions.name == "stub" and found.regions.offsets.tolist() == [0, 2, 4, 5]
    # whole pixels, at most two boxes an image; the wide image as a whole
    assert found.regions.boxes[:2].tolist() == [[0, 0, 9, 10], [1, 1, 5, 5]]
    assert found.regions.boxes[4].tolist() == [0, 0, 64, 20]
    again = proposals.of_benchmark(data, _stub(calls), limit=2)
    assert len(calls) == 3 and (again.regions.boxes == found.regions.boxes).all()  # read from the cache
    with pytest.raises(ValueError, match="limit is 0"):
        proposals.of_benchmark(data, _stub(calls), limit=0)


def test_an_unreadable_image_is_left_to_the_extraction_to_name(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=2)
    Path(data.image_path(0)).write_bytes(b"not an image")
    found = proposals.of_benchmark(data, _stub([]))
    assert found.regions.boxes[0].tolist() == [0, 0, 40, 32]


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[proposals\]'.*selective_search"):
        proposals.grounding_dino()


class _Inputs(dict):
    def to(self, device: str) -> _Inputs:
        return self


def _transformers(seen: dict[str, object]) -> SimpleNamespace:
    """Stands in for the library: two boxes, the second one better."""

    class Processor:
        def __call__(self, images: Image.Image, text: str, return_tensors: str) -> _Inputs:
            seen.update(text=text)
            return _Inputs(input_ids=torch.zeros(1, 3))

        def post_process_grounded_object_detection(self, outputs: object, input_ids: object, **given: object) -> list:
            seen.update(given)
            boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20]])
            return [{"boxes": boxes, "scores": torch.tensor([0.3, 0.9])}]

    network = SimpleNamespace(eval=lambda: SimpleNamespace(to=lambda device: lambda **inputs: "output"))
    return SimpleNamespace(
        AutoProcessor=SimpleNamespace(from_pretrained=lambda name: Processor()),
        AutoModelForZeroShotObjectDetection=SimpleNamespace(from_pretrained=lambda name: network),
    )


def test_grounding_dino_gets_its_parameters_and_the_best_box_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setitem(sys.modules, "transformers", _transformers(seen))
    detector = proposals.grounding_dino("a mug.", 0.4, 0.2)
    assert detector.propose(drawn()).tolist() == [[5, 5, 20, 20], [0, 0, 10, 10]]
    assert seen == {"text": "a mug.", "threshold": 0.4, "text_threshold": 0.2, "target_sizes": [(160, 240)]}
    assert detector.config["prompt"] == "a mug." and not detector.parallel


def test_missing_weights_of_the_detector_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise OSError("no network")

    fake = SimpleNamespace(AutoProcessor=SimpleNamespace(from_pretrained=offline))
    monkeypatch.setitem(sys.modules, "transformers", fake)
    with pytest.raises(FileNotFoundError, match="some-model is neither a folder nor cached"):
        proposals.grounding_dino(model="some-model")
