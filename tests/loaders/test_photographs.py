"""The photographs that ship: what is there, its two kinds of query, and pictures composed of them or of one's own."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from patchlib import images
from patchlib.benchmarks import grocery, load
from patchlib.benchmarks.benchmark import BOX
from patchlib.benchmarks.photographs import build, loader, scenes, shipped

RED, BLUE, GREY = (250, 0, 0), (0, 0, 250), (60, 60, 60)
INSIDE = (30, 20, 90, 80)  # the red product of an own photograph of 120 x 90 pixels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped files, to be damaged."""
    monkeypatch.setattr(shipped, "FOLDER", shutil.copytree(shipped.FOLDER, tmp_path / "shipped"))
    return shipped.FOLDER


def own(root: Path, products: int, others: int) -> Path:
    """A folder of photographs: red products on grey, each on a photograph of its own, and blue photographs."""
    for name in ("queries", "database/red"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (30, 30), RED).save(root / "queries" / "red.png")
    for number in range(products):
        photo = Image.new("RGB", (120, 90), GREY)
        photo.paste(RED, INSIDE)
        photo.save(root / "database" / "red" / f"{number:02d}.png")
    for number in range(others):
        Image.new("RGB", (120, 90), BLUE).save(root / "database" / f"blue_{number:02d}.png")
    rows = [f"database/red/{number:02d}.png,{','.join(map(str, INSIDE))}\n" for number in range(products)]
    (root / "boxes.csv").write_text(f"image,{','.join(BOX)}\n" + "".join(rows))
    return root


def test_what_ships() -> None:
    data = load("photographs")
    counts = data.summary()
    assert data.meta["counts"] == {key: counts[key] for key in data.meta["counts"]}
    assert (counts["images"], counts["queries"], counts["positives with a box"]) == (590, 31, 310)
    assert counts["images that are no query's positive"] == 280
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir() if path.is_file()) <= 5_000_000
    assert {"LICENSE", "README.md"} <= {path.name for path in shipped.FOLDER.iterdir()}
    assert "web shop" in " ".join(data.meta["notes"]) and data.meta["licence"].startswith("MIT")
    for row in (0, 100, 589):
        assert images.read(data.image_path(row)).size == tuple(data.images[["width", "height"]].iloc[row])
    assert images.read(data.query_path(0)).size == (198, 198)


def test_boxes_are_those_of_the_dataset_made_smaller() -> None:
    data = load("photographs")
    drawn = pd.read_csv(grocery.DRAWN_BOXES).rename(columns={"image": "image_id"}).drop_duplicates("image_id")
    here = data.positives.drop_duplicates("image_id").merge(data.images, on="image_id")
    both = here.merge(drawn, on="image_id", suffixes=("", "_drawn"), validate="one_to_one")
    assert len(both) == 310
    for side, length in zip(BOX, ["width", "height"] * 2, strict=True):
        expected = both[f"{side}_drawn"] * both[length] / both[f"{length}_drawn"]
        np.testing.assert_allclose(both[side], expected, atol=0.01)


def test_natural_queries_are_fixed_and_leave_the_database(copy: Path) -> None:
    cartons = sorted(load("photographs").positives["image_id"].unique())
    (copy / shipped.ICONIC).unlink()
    data = load("photographs", queries="natural")  # does without
    for _, names in pd.Series(cartons).groupby([Path(name).parent.name for name in cartons]):
        asked = data.queries["query_id"].isin(names)
        assert data.queries["query_id"][asked].tolist() == names.tolist()[::3]
        found = data.positives["query_id"].isin(names[::3])
        assert set(data.positives["image_id"][found]) == set(names) - set(names.tolist()[::3])
    assert len(data.images) == 590 - len(data.queries) == 590 - 31 * 4
    assert not data.queries[BOX].isna().any(axis=None)
    with pytest.raises(FileNotFoundError, match=r'iconic\.tar is not there; .* queries="natural" does without'):
        load("photographs")


def test_files_that_were_removed_or_changed_are_named(copy: Path) -> None:
    with tarfile.open(shipped.FOLDER / shipped.PHOTOGRAPHS) as archive:
        members = [(entry, archive.extractfile(entry).read()) for entry in archive.getmembers()]
    with tarfile.open(copy / shipped.PHOTOGRAPHS, "w") as archive:
        for entry, content in members[1:]:
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(ValueError, match=r"photographs\.tar was changed, or photographs were removed .*; restore it"):
        load("photographs")
    (copy / shipped.PHOTOGRAPHS).unlink()
    with pytest.raises(FileNotFoundError, match=r"photographs\.tar is not there; restore it with git, or install"):
        load("photographs", queries="natural")


@pytest.mark.parametrize(("option", "value"), [("series", "as_shod"), ("queries", "iconik"), ("photoz", 1)])
def test_options_that_are_unknown(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option} is '{value}', expected|unknown .*{option}"):
        load("photographs", **{option: value})


def test_composed_of_the_shipped_photographs() -> None:
    shot, data = (load("photographs", series=series, photos=1) for series in ("as_shot", "composed"))
    assert (data.name, data.meta["title"]) == ("composed-of-photographs", "composed of photographs")
    assert data.summary().to_dict() == shot.summary().to_dict()
    assert len(data.images) == 31 + 28 and (data.images[["width", "height"]].max(axis=1) == scenes.PICTURE).all()
    for row in range(4):
        image, box = (table.positives.loc[row, ["image_id", *BOX]].tolist() for table in (shot, data))
        small, large = np.subtract(image[3:], image[1:3]), np.subtract(box[3:], box[1:3])
        size = shot.images.set_index("image_id").loc[image[0], ["width", "height"]].max()
        share = scenes.SIDES[int(Path(box[0]).stem) % 3] * scenes.PICTURE / size
        np.testing.assert_allclose(large, small * share, rtol=0.03)
        # what is in the box is what was in the photograph's
        path = {name: table.image_path(list(table.images["image_id"]).index(name)) for table, name in
                ((shot, image[0]), (data, box[0]))}  # fmt: skip
        cuts = [next(images.cut(images.read(path[name]), np.array([corners], np.float32), 32, "bilinear"))
                for name, corners in ((image[0], image[1:]), (box[0], box[1:]))]  # fmt: skip
        assert np.corrcoef(cuts[0].ravel(), cuts[1].ravel())[0, 1] > 0.9


def test_ones_own_photographs_are_composed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = own(tmp_path / "own", products=6, others=20)
    data = load("photographs", root, series="composed")
    assert (len(data.images), len(data.positives)) == (26, 6)
    boxes = data.positives.set_index("image_id")[BOX]
    for row, image in enumerate(data.images["image_id"]):
        pixels = np.asarray(images.read(data.image_path(row))).astype(int)
        red = (pixels[..., 0] > 150) & (pixels[..., 2] < 100)
        assert red.any() == (image in boxes.index)  # no distractor shows a query's product
        if red.any():
            rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
            seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert boxes.loc[image].tolist() == pytest.approx(seen, abs=2)
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "other"))
    again = load("photographs", root, series="composed")
    assert again.hash == data.hash
    assert Path(again.image_path(0)).read_bytes() == Path(data.image_path(0)).read_bytes()
    Image.new("RGB", (120, 90), GREY).save(root / "database" / "blue_00.png")  # replaced: composed anew
    assert load("photographs", root, series="composed").root != again.root


def test_shipped_photographs_fill_in_for_a_folder_of_products_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = loader.spare()
    assert len(spare) == 280
    monkeypatch.setattr(loader, "spare", lambda: spare[:5])  # few, for the time it takes
    data = load("photographs", own(tmp_path / "own", products=30, others=0), series="composed", queries="natural")
    assert (len(data.queries), len(data.positives), len(data.images)) == (10, 10 * 20, 20 + 5)


def test_a_folder_with_too_little_says_so(tmp_path: Path) -> None:
    root = own(tmp_path / "own", products=1, others=18)
    with pytest.raises(
        ValueError, match="own has 19 photographs for the database; pictures are composed of at least 20"
    ):
        load("photographs", root, series="composed")
    with pytest.raises(ValueError, match="natural queries need a product with boxes on two photographs"):
        load("photographs", root, queries="natural")
    with pytest.raises(FileNotFoundError, match=r"no classes\.csv in .*data get grocery"):
        load("photographs", tmp_path / "nowhere")


@pytest.fixture(scope="module")
def dataset(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of the Grocery Store Dataset beside the checkout, unpacked into one folder."""
    folder = tmp_path_factory.mktemp("grocery")
    for name in ("grocery_sample.zip", "grocery_distractors.zip"):
        with zipfile.ZipFile(shared / "data" / name) as archive:
            archive.extractall(folder)
    shutil.copytree(folder / "GroceryStoreDataset-master" / "dataset", folder / "dataset", dirs_exist_ok=True)
    return folder / "dataset"


def test_the_whole_dataset_goes_through_the_same_loader(dataset: Path) -> None:
    data = load("photographs", dataset)
    assert (len(data.images), len(data.queries), len(data.positives.dropna())) == (864, 31, 359)
    natural = load("photographs", dataset, queries="natural")
    assert (len(natural.images), len(natural.queries)) == (864 - 124, 124)


def test_the_shipped_files_can_be_made_again(dataset: Path, copy: Path) -> None:
    listed = pd.read_csv(copy / shipped.LIST)
    few = listed[listed["path"].isin(listed["path"].drop_duplicates()[::60])]
    few.to_csv(copy / shipped.LIST, index=False)
    build.build(dataset, copy)
    pd.testing.assert_frame_equal(pd.read_csv(copy / shipped.LIST), few.reset_index(drop=True))
    for path, role in few[["path", "role"]].drop_duplicates().itertuples(index=False):
        tar = shipped.ICONIC if role == "iconic" else shipped.PHOTOGRAPHS
        one, two = (images.read(f"{folder}/{tar}::{shipped.member(path)}") for folder in (copy, build.FOLDER))
        assert one.tobytes() == two.tobytes()
