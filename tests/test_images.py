"""Every kind of image file comes out as upright 8-bit RGB, or is named; crops are Pillow's, on any processor."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchlib import images, regions

RAMP = np.linspace(0, 255, 12).astype(np.uint8).reshape(3, 4)  # 4 wide, 3 high
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIDE = 80


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def pixels(path: Path | str) -> np.ndarray:
    image = images.read(path)
    assert image.mode == "RGB"
    assert images.size(path) == image.size
    return np.asarray(image)


def test_rgb_and_grey(tmp_path: Path) -> None:
    assert (pixels(saved(tmp_path, Image.fromarray(COLOURS), "a.png")) == COLOURS).all()
    assert (pixels(saved(tmp_path, Image.fromarray(RAMP), "b.png")) == RAMP[..., None]).all()


def test_16_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
    wide = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
    expected = [0, 0, 1, 100, 255]  # round(value / 257)
    for name in ("a.png", "a.tif"):
        assert pixels(saved(tmp_path, Image.fromarray(wide), name))[0, :, 0].tolist() == expected
    big_endian = Image.frombytes("I;16B", (5, 1), wide.astype(">u2").tobytes())
    assert pixels(saved(tmp_path, big_endian, "b.tif"))[0, :, 0].tolist() == expected


def test_a_dark_16_bit_image_stays_dark(tmp_path: Path) -> None:
    dark = np.full((2, 2), 200, np.uint16)
    assert (pixels(saved(tmp_path, Image.fromarray(dark), "dark.png")) == 1).all()


def test_32_bit_and_float_samples(tmp_path: Path) -> None:
    assert pixels(saved(tmp_path, Image.fromarray(np.array([[0, 200]], np.int32)), "i.tif"))[0, :, 0].tolist() == [
        0,
        200,
    ]
    deep = np.array([[-5, 257 * 7, 1 << 20]], np.int32)
    assert pixels(saved(tmp_path, Image.fromarray(deep), "j.tif"))[0, :, 0].tolist() == [0, 7, 255]
    unit = np.array([[0, 0.5, 1]], np.float32)
    assert pixels(saved(tmp_path, Image.fromarray(unit), "f.tif"))[0, :, 0].tolist() == [0, 128, 255]
    bytes_ = np.array([[0, 77.4, 300]], np.float32)
    assert pixels(saved(tmp_path, Image.fromarray(bytes_), "g.tif"))[0, :, 0].tolist() == [0, 77, 255]


def test_palette(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOURS).quantize(16)
    assert (pixels(saved(tmp_path, palette, "a.png")) == np.asarray(palette.convert("RGB"))).all()
    assert pixels(saved(tmp_path, palette, "a.gif")).shape == (3, 4, 3)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 60, 20), np.uint8)
    path = saved(tmp_path, Image.fromarray(flat).convert("CMYK"), "a.jpg", quality=100)
    assert np.abs(pixels(path).astype(int) - flat).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_images_lie_on_white(mode: str, tmp_path: Path) -> None:
    black = Image.new(mode, (3, 1), 0)
    black.putalpha(Image.fromarray(np.array([[0, 51, 255]], np.uint8)))
    # black with opacity a on white: 255 * (1 - a)
    assert pixels(saved(tmp_path, black, "a.png"))[0, :, 0].tolist() == [255, 255 - 51, 0]


def test_a_transparent_colour_of_a_palette_or_of_rgb_lies_on_white(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert pixels(saved(tmp_path, palette, "p.png", transparency=0))[0].tolist() == [[255] * 3, [40, 50, 60]]
    keyed = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8))
    assert pixels(saved(tmp_path, keyed, "k.png", transparency=(10, 20, 30)))[0].tolist() == [[255] * 3, [40, 50, 60]]


# how the stored array must be turned to stand upright, by EXIF orientation
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_exif_orientation(orientation: int, name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, Image.fromarray(COLOURS), name, exif=exif, **options)
    assert (pixels(path) == UPRIGHT[orientation](COLOURS)).all()


def test_exif_of_a_16_bit_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = (RAMP.astype(np.uint16)) * 257
    assert (pixels(saved(tmp_path, Image.fromarray(wide), "a.png", exif=exif))[..., 0] == np.rot90(RAMP, -1)).all()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    for function in (images.read, images.size):
        with pytest.raises(images.ImageError, match=r"cannot read image .*bad\.jpg: "):
            function(tmp_path / "bad.jpg")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
def test_a_truncated_image_is_refused_wherever_it_ends(name: str, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = saved(tmp_path, noise, name).read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9):
        (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(images.ImageError, match=name):
            images.read(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged tags
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
        exif = Image.Exif()
        exif[0x0112] = 6
        whole = saved(tmp_path, Image.fromarray(COLOURS), name, exif=exif).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[int(rng.integers(len(whole)))] = int(rng.integers(256))
            (tmp_path / name).write_bytes(damaged)
            for function in (images.read, images.size):
                try:
                    function(tmp_path / name)
                except images.ImageError as error:
                    assert str(error).count("cannot read image") == 1


def test_a_missing_file_is_named_once() -> None:
    for function in (images.read, images.size):
        with pytest.raises(images.ImageError, match=r"^cannot read image gone/a\.jpg: no such file$"):
            function("gone/a.jpg")


def shard(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_members_of_a_tar_are_read_in_place(tmp_path: Path) -> None:
    tar = shard(tmp_path / "s.tar", {"x/a.png": png(COLOURS), "x/" + "long" * 40 + ".png": png(RAMP), "bad.jpg": b"?"})
    assert (pixels(f"{tar}::x/a.png") == COLOURS).all()
    assert (pixels(f"{tar}::x/{'long' * 40}.png")[..., 0] == RAMP).all()
    for function in (images.read, images.size):
        with pytest.raises(
            images.ImageError, match=r"^cannot read image .*s\.tar::gone\.png: the shard has no such member"
        ):
            function(f"{tar}::gone.png")
        with pytest.raises(
            images.ImageError, match=r"^cannot read image .*s\.tar::bad\.jpg: not an image Pillow knows"
        ):
            function(f"{tar}::bad.jpg")
        with pytest.raises(images.ImageError, match=r"^cannot read image .*none\.tar::a\.png: no such file"):
            function(f"{tmp_path}/none.tar::a.png")
    (tmp_path / "text.tar").write_text("text")
    with pytest.raises(images.ImageError, match=r"text\.tar::a\.png"):
        images.read(f"{tmp_path}/text.tar::a.png")


def test_a_tar_that_was_replaced_is_indexed_again(tmp_path: Path) -> None:
    tar = shard(tmp_path / "s.tar", {"a.png": png(COLOURS)})
    assert (pixels(f"{tar}::a.png") == COLOURS).all()
    shard(tmp_path / "s.tar", {"before.bin": b"x" * 5000, "a.png": png(255 - COLOURS)})
    os.utime(tar, ns=(0, 1))
    assert (pixels(f"{tar}::a.png") == 255 - COLOURS).all()


def test_a_tar_cut_short_is_named(tmp_path: Path) -> None:
    tar = shard(tmp_path / "s.tar", {"a.png": png(COLOURS), "b.png": png(np.zeros((99, 99, 3), np.uint8))})
    pixels(f"{tar}::b.png")
    when = os.stat(tar).st_mtime_ns
    with open(tar, "r+b") as file:
        file.truncate(1600)
    os.utime(tar, ns=(when, when))  # lost while it is in use
    with pytest.raises(images.ImageError, match=r"s\.tar::b\.png: the shard ends early; fetch it again"):
        images.read(f"{tar}::b.png")


def picture(width: int = 213, height: int = 160) -> Image.Image:
    """Coarse and fine structure, edges at full contrast."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    fine = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    return Image.blend(coarse, fine, 0.2)


def cut(image: Image.Image, boxes: np.ndarray, interpolation: str = "bicubic") -> np.ndarray:
    return np.stack(list(images.cut(image, boxes, SIDE, interpolation)))


def by_pillow(image: Image.Image, box: np.ndarray, interpolation: str) -> np.ndarray:
    """Across first, then down: Pillow itself takes the order that costs less, which rounds elsewhere."""
    region = image.crop(tuple(box.astype(int).tolist()))
    across = region.resize((SIDE, region.height), PILLOW[interpolation])
    return np.asarray(across.resize((SIDE, SIDE), PILLOW[interpolation]))


@pytest.mark.parametrize("interpolation", sorted(PILLOW))
def test_pillows_values_but_for_rounding(interpolation: str) -> None:
    image, boxes = picture(), regions.grid(213, 160, 3)
    for ours, box in zip(cut(image, boxes, interpolation), boxes, strict=True):
        apart = np.abs(ours.astype(int) - by_pillow(image, box, interpolation))
        assert apart.max() <= 2 and (apart > 0).mean() < 0.05


def test_a_mixture_of_sizes_longer_than_a_block_keeps_its_order() -> None:
    image, rng = picture(), np.random.default_rng(1)
    low = rng.integers(0, 100, (2 * images.BLOCK + 7, 2))
    boxes = np.concatenate([low, low + rng.choice([20, 45, 60], low.shape)], axis=1).astype(np.float32)
    np.testing.assert_array_equal(cut(image, boxes), np.concatenate([cut(image, box[None]) for box in boxes]))


def test_nothing_beyond_the_border_is_seen() -> None:
    box = np.array([[30, 20, 110, 100]], np.float32)
    other = Image.new("RGB", picture().size, "red")
    other.paste(picture().crop((30, 20, 110, 100)), (30, 20))
    np.testing.assert_array_equal(cut(picture(), box), cut(other, box))
    np.testing.assert_array_equal(cut(picture(), box)[0], np.asarray(picture())[20:100, 30:110])  # 80 pixels stay 80


def test_no_boxes_give_no_crops() -> None:
    assert list(images.cut(picture(), np.empty((0, 4), np.float32), SIDE, "bicubic")) == []


def test_the_same_bytes_without_vector_instructions() -> None:
    code = "import test_images as t; print(t.digest())"
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": os.path.dirname(__file__)}
    found = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest()


def digest() -> str:
    """Of all crops of the picture, both ways."""
    image, boxes = picture(), regions.grid(213, 160, 3)
    return hashlib.sha256(b"".join(cut(image, boxes, way).tobytes() for way in sorted(PILLOW))).hexdigest()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70_000.0])
def test_float_samples_that_mean_nothing_are_refused(bad: float, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.5, bad]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(images.ImageError, match=r"a\.tif: its samples hold NaN, or reach beyond 65535"):
        images.read(tmp_path / "a.tif")


def test_float_samples_of_16_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 100, 65535]], np.float32)).save(tmp_path / "a.tif")
    assert np.asarray(images.read(tmp_path / "a.tif"))[0, :, 0].tolist() == [0, 100, 255]


def test_a_drawing_called_photograph_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("Ghostscript was asked"))
    for look in (images.size, images.read):
        with pytest.raises(images.ImageError, match="not an image"):
            look(tmp_path / "a.jpg")


def test_two_colons_in_a_name(tmp_path: Path) -> None:
    Image.new("RGB", (5, 7)).save(path := tmp_path / "a::b.png")
    assert images.size(path) == images.read(path).size == (5, 7)
    assert images.file_of(path) == str(path) and images.file_of("x.tar::a/b.jpg") == "x.tar"


def test_photographs_of_phones_are_read_upright_with_the_package_for_them(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    tall = Image.fromarray(np.repeat(np.repeat(COLOURS, 20, 0), 20, 1))
    pillow_heif.from_pillow(tall).save(tmp_path / "photo.HEIC", exif=exif.tobytes(), quality=-1)
    assert images.size(tmp_path / "photo.HEIC") == images.read(tmp_path / "photo.HEIC").size == (60, 80)
    upright = np.asarray(tall.transpose(Image.Transpose.ROTATE_270), int)
    assert np.abs(pixels(tmp_path / "photo.HEIC").astype(int) - upright).mean() < 4
