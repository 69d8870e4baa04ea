"""Encoders by ONNX Runtime: the descriptors of torch, exported once, and what happens to a damaged export."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from patchlib import encoders
from patchlib.encoders import onnx_runtime, specs

NAME = "tiny-onnx"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own, and a registry with a small network that is exported on a CPU."""
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    known = specs.registry()
    small = specs.EncoderSpec(
        name=NAME, library="timm", model="test_efficientnet", dim=256, input_size=32, family="CNN", onnx=True
    )
    monkeypatch.setattr(specs, "registry", lambda: known | {NAME: small})
    yield tmp_path / "onnx"


def crops(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_the_descriptors_are_torchs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = encoders.create(NAME, weights="random")
    monkeypatch.setattr(onnx_runtime, "available", lambda: False)
    eager = encoders.create(NAME, weights="random")
    pixels = crops(7)
    rows = exported.encode(pixels)
    assert rows.dtype == np.float32 and rows.shape == (7, 256)
    np.testing.assert_allclose((rows * eager.encode(pixels)).sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(exported.encode(pixels[:2]), exported.encode(pixels)[:2])
    # features of the one are never taken for those of the other
    assert exported.config == eager.config | {"runtime": "onnxruntime"}


def test_exported_once_and_found_again_by_another_process(cache: Path) -> None:
    first = encoders.create(NAME, weights="random")
    (file,) = cache.glob("*.onnx")
    made = file.stat().st_mtime_ns
    assert b".py" not in file.read_bytes()  # no path of the machine it was made on
    again = pickle.loads(pickle.dumps(first))
    assert file.stat().st_mtime_ns == made and again.config == first.config
    np.testing.assert_array_equal(again.encode(crops(3)), first.encode(crops(3)))


def test_only_a_cpu_in_full_precision_uses_it(cache: Path) -> None:
    assert "runtime" not in encoders.create(NAME, weights="random", dtype="bfloat16").config
    assert not cache.exists()


def test_a_damaged_export_is_named(cache: Path) -> None:
    encoders.create(NAME, weights="random")
    (file,) = cache.glob("*.onnx")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged .*; remove it"):
        encoders.create(NAME, weights="random")


def test_crops_of_another_size_are_refused(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"tiny-onnx got crops uint8 \(2, 16, 16, 3\)"):
        encoders.create(NAME, weights="random").encode(crops(2, 16))
