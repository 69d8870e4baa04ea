"""Local descriptors: which cells are kept, resumption, and the errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import resized
from PIL import Image

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from patchlib.encoders import Encoder  # noqa: E402
from patchlib.images import ImageError  # noqa: E402
from patchlib.reranking import local_features  # noqa: E402

SIDE = 64
CNN = ("resnet18", {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)})
VIT = ("vit_tiny_patch16_224", {"img_size": SIDE, "embed_dim": 12, "depth": 2, "num_heads": 2})


def encoder(architecture: tuple[str, dict] = CNN, seed: int = 0) -> Encoder:
    name, kwargs = architecture
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, num_classes=0, **kwargs).eval()
    config = {"name": name, "seed": seed, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    return Encoder(name, 16, SIDE, "bilinear", lambda crops: crops, config, build=lambda: model)


def cutouts(folder: Path, count: int = 5, boxes: list | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (80, 120, 3), np.uint8)).save(folder / f"{i}.png")
    table = pd.DataFrame({"cutout_id": [f"v{i}" for i in range(count)], "benchmark": "0" * 8})
    table["path"] = [str(folder / f"{i}.png") for i in range(count)]
    table[["x0", "y0", "x1", "y1"]] = np.full((count, 4), np.nan) if boxes is None else np.asarray(boxes, float)
    return table


def feature_map(model: torch.nn.Module, path: str, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """(h, w, D) of a CNN's last layer, from timm's own entry point."""
    image = Image.open(path).crop(box) if box else Image.open(path)
    pixels = resized(image, SIDE) / np.float32(127.5) - 1
    with torch.inference_mode():
        return model.forward_features(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()


def strongest(cells: np.ndarray, n: int) -> np.ndarray:
    """The n longest of the vectors (h, w, D), longest first, at unit length."""
    flat = cells.reshape(-1, cells.shape[2])
    lengths = np.linalg.norm(flat, axis=1)
    order = np.argsort(-lengths)[:n]
    return flat[order] / lengths[order, None]


def test_the_strongest_cells_of_a_cnn(tmp_path: Path) -> None:
    table, net = cutouts(tmp_path), encoder()
    found = local_features.extract(table, net, 3, tmp_path / "cache")
    assert found.descriptors.shape == (5, 3, 16) and found.descriptors.dtype == np.float16
    assert found.counts.tolist() == [3] * 5 and found.bytes_per_cutout == 3 * 16 * 2
    for descriptors, path in zip(found.descriptors, table["path"], strict=True):
        np.testing.assert_allclose(descriptors, strongest(feature_map(net.model, path), 3), atol=2e-3)  # of 2 x 2


def test_a_vit_gives_its_tokens_without_the_class_token(tmp_path: Path) -> None:
    table, net = cutouts(tmp_path, 1), encoder(VIT)
    found = local_features.extract(table, net, 100, tmp_path / "cache")
    assert found.counts.tolist() == [16]
    pixels = resized(Image.open(table["path"][0]), SIDE).astype(np.float32)
    with torch.inference_mode():
        inputs = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        tokens = net.model.forward_features(inputs)[0, 1:].numpy()
        net.model.norm = torch.nn.Identity()  # after LayerNorm all tokens would be about as strong
        order = np.argsort(-np.linalg.norm(net.model.forward_features(inputs)[0, 1:].numpy(), axis=1))
    expected = tokens[order] / np.linalg.norm(tokens[order], axis=1, keepdims=True)
    np.testing.assert_allclose(found.descriptors[0, :16], expected, atol=2e-3)
    assert not found.descriptors[0, 16:].any()


def test_a_finer_layer_and_a_larger_input_give_more_cells(tmp_path: Path) -> None:
    table = cutouts(tmp_path, 1)
    counts = [
        int(local_features.extract(table, encoder(), 500, tmp_path / "cache", layer=layer, size=size).counts[0])
        for layer, size in ((-1, 64), (-2, 64), (-1, 128))
    ]
    assert counts == [2 * 2, 4 * 4, 4 * 4]


def test_a_box_is_cut_out_and_encoded_by_itself(tmp_path: Path) -> None:
    net, table = encoder(), cutouts(tmp_path, 1, [[60, 0, 120, 80]])
    found = local_features.extract(table, net, 4, tmp_path / "cache")
    expected = strongest(feature_map(net.model, table["path"][0], (60, 0, 120, 80)), 4)
    np.testing.assert_allclose(found.descriptors[0], expected, atol=2e-3)


def test_an_interrupted_run_continues_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, net = cutouts(tmp_path, 7), encoder()
    whole = local_features.extract(table, net, 4, tmp_path / "whole", batch=2)
    written = []

    def stop_at_the_third(arrays: dict, start: int, rows: dict) -> None:
        if len(written) == 2:
            raise RuntimeError("killed")
        written.append(start)
        write(arrays, start, rows)

    write = local_features._write
    with monkeypatch.context() as patch:
        patch.setattr(local_features, "_write", stop_at_the_third)
        with pytest.raises(RuntimeError, match="killed"):
            local_features.extract(table, net, 4, tmp_path / "cut", batch=2)
    (folder,) = (tmp_path / "cut").glob("local-*")
    with pytest.raises(ValueError, match="lacks 3 of 7 cutouts; run extract again"):
        local_features.load(folder)
    resumed = []
    with monkeypatch.context() as patch:
        patch.setattr(local_features, "_write", lambda a, start, r: (resumed.append(start), write(a, start, r)))
        local_features.extract(table, net, 4, tmp_path / "cut", batch=2)
    assert (written, resumed) == ([0, 2], [4, 6])
    for name in local_features.ARRAYS:
        original = (tmp_path / "whole" / folder.name / f"{name}.npy").read_bytes()
        assert (folder / f"{name}.npy").read_bytes() == original
    assert local_features.load(folder).meta["hash"] == whole.meta["hash"]


def test_a_replaced_photo_is_encoded_again(tmp_path: Path) -> None:
    table, net = cutouts(tmp_path, 2), encoder()
    before = local_features.extract(table, net, 4, tmp_path / "cache").descriptors.copy()
    Image.new("RGB", (120, 80), (200, 10, 10)).save(tmp_path / "1.png")
    after = local_features.extract(table, net, 4, tmp_path / "cache").descriptors
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1].astype(float) - before[1]).max() > 1e-2


def test_settings_do_not_share_a_folder(tmp_path: Path) -> None:
    table = cutouts(tmp_path, 2)
    for options in ({}, {"layer": -2}, {"size": 128}, {"batch": 1}):
        local_features.extract(table, encoder(), 4, tmp_path / "cache", **options)
    local_features.extract(table, encoder(seed=1), 4, tmp_path / "cache")
    local_features.extract(table.assign(benchmark="1" * 8), encoder(), 4, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("local-*"))) == 6


def test_tensors_and_masks(tmp_path: Path) -> None:
    whole = local_features.extract(cutouts(tmp_path, 3), encoder(), 4, tmp_path / "cache")
    found = replace(whole, counts=np.array([4, 1, 4], np.int32))
    descriptors, mask = found.tensors(np.array([2, 1]))
    assert descriptors.shape == (2, 4, 16) and descriptors.dtype == torch.float32
    assert mask.tolist() == [[False] * 4, [False, True, True, True]]
    with pytest.raises(ValueError, match=r"rows 1\.\.3 are asked for, the local features hold 3 cutouts"):
        found.tensors(np.array([1, 3]))


def test_unreadable_images_stop_or_are_skipped(tmp_path: Path) -> None:
    table, net = cutouts(tmp_path, 3), encoder()
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        local_features.extract(table, net, 4, tmp_path / "cache")
    found = local_features.extract(table, net, 4, tmp_path / "cache", skip_bad=True)
    assert found.counts.tolist() == [4, 0, 4] and not found.descriptors[1].any()
    with pytest.raises(ValueError, match="no local descriptors for v1; extract them before re-ranking"):
        found.tensors(np.array([0, 1]))
    with pytest.raises(ImageError, match=r"1\.png"):  # what one run skipped does not pass the next one unseen
        local_features.extract(table, net, 4, tmp_path / "cache")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    table = cutouts(tmp_path, 2)
    with pytest.raises(ValueError, match="n is 0 and there are 2 cutouts"):
        local_features.extract(table, encoder(), 0, tmp_path / "cache")
    with pytest.raises(ValueError, match="resnet18 is no timm ViT or CNN"):
        odd = Encoder("resnet18", 16, SIDE, "bilinear", lambda crops: crops, {}, build=lambda: torch.nn.Linear(2, 2))
        local_features.extract(table, odd, 4, tmp_path / "cache")
    with pytest.raises(ValueError, match="vit_tiny_patch16_224 cannot encode 96 pixels"):
        local_features.extract(table, encoder(VIT), 4, tmp_path / "cache", size=96)
    with pytest.raises(ValueError, match=r"the box .* of v1 holds no pixel of .*1\.png \(120x80\)"):
        outside = table.assign(x0=[0.0, 200.0], y0=0.0, x1=[50.0, 300.0], y1=50.0)
        local_features.extract(outside, encoder(), 4, tmp_path / "cache")
    with pytest.raises(ValueError, match="holds no local features"):
        local_features.load(tmp_path)
