"""The explorer without a browser: controls are moved and buttons clicked, as a person would."""

import base64
import io
from datetime import UTC, datetime
from pathlib import Path

import builders
import ipywidgets
import matplotlib

matplotlib.use("Agg")
import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image

from patchlib import images, metrics, plots, search
from patchlib.explorer import pictures, session, widgets
from patchlib.run import notebooks

COUNTS = {"queries": 12, "database": 14}
SIDE = 48
RED = (220, 30, 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Query i shows what database image i does; image 13 is red all over, and nobody's."""
    root = tmp_path_factory.mktemp("photos")
    for kind, count in COUNTS.items():
        (root / kind).mkdir()
        for number in range(count):
            picture = builders.picture(SIDE, SIDE, number) if number < 13 else Image.new("RGB", (SIDE, SIDE), RED)
            picture.save(root / kind / f"thing{number:02d}__{kind}.png")
    return root


@pytest.fixture
def bench(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> session.SearchSession:
    monkeypatch.setenv("PATCHLIB_CACHE", str(folder.parent / "cache"))
    return session.SearchSession("builtin", benchmark=f"folder:{folder}", encoder="colour-histogram", workers=1)


@pytest.fixture
def shown(bench: session.SearchSession) -> widgets.Explorer:
    return widgets.Explorer(bench)


def upload(shown: widgets.Explorer, content: bytes, name: str = "mine.png") -> None:
    file = {"name": name, "type": "image/png", "size": len(content), "content": memoryview(content)}
    shown.upload.value = ({**file, "last_modified": datetime(2026, 1, 1, tzinfo=UTC)},)


def png(picture: Image.Image, **options: object) -> bytes:
    picture.save(content := io.BytesIO(), "PNG", **options)
    return content.getvalue()


def captions(shown: widgets.Explorer) -> list[str]:
    return [tile.children[1].value for tile in shown.results.children]


def expected(shown: widgets.Explorer, query: int) -> list[str]:
    """What stands below the first images, from an exact search of all queries at once."""
    owned, data = shown.session.features(shown.setup), shown.answer.benchmark
    ranking = search.rank(owned.query_descriptors, owned, k=10)
    right = np.isin(ranking.images[query], data.relevant(query)[0])
    named = zip(ranking.scores[query], np.where(right, "positive", "negative"), strict=True)
    return ["query", *(f"{place} · {score:.2f} {kind}" for place, (score, kind) in enumerate(named, 1))]


def test_starts_with_the_ranking_of_a_query(shown: widgets.Explorer) -> None:
    assert captions(shown) == expected(shown, 0)
    assert len(shown.queries.children) == widgets.PAGE
    assert shown.image == shown.answer.ranking.images[0, 0]
    assert "AP 1.000" in shown.status.value  # the picture itself is in the database


def test_a_click_on_a_query_searches_for_it(shown: widgets.Explorer) -> None:
    shown.queries.children[4].button.click()
    assert captions(shown) == expected(shown, 4)
    assert shown.answer.name == "thing04__queries.png"
    found = Image.open(io.BytesIO(shown.results.children[0].children[0].children[0].value))
    wanted = pictures.thumbnail(images.read(shown.answer.benchmark.query_path(4)))
    np.testing.assert_allclose(np.asarray(found, float).mean((0, 1)), np.asarray(wanted).mean((0, 1)), atol=2)  # a jpg


def test_queries_turn_page_by_page_and_round(shown: widgets.Explorer) -> None:
    assert shown.pages.value == "queries 1 to 10 of 12"
    shown.forward.click()
    assert shown.pages.value == "queries 11 to 12 of 12"
    shown.queries.children[1].button.click()
    assert shown.answer.name == "thing11__queries.png"
    shown.forward.click()
    assert shown.pages.value == "queries 1 to 10 of 12"
    shown.back.click()
    assert shown.pages.value == "queries 11 to 12 of 12"


@pytest.mark.parametrize(("level", "patches"), [(0, 1), (1, 1 + 4), (2, 1 + 4 + 9), (3, 1 + 4 + 9 + 16)])
def test_the_level_decides_how_many_patches_are_listed(shown: widgets.Explorer, level: int, patches: int) -> None:
    shown.controls["level"].value = level
    assert shown.table.value.count("<tr>") == patches
    assert captions(shown) == expected(shown, 0)


def test_a_click_on_a_result_shows_its_patches(shown: widgets.Explorer) -> None:
    before, image = shown.heat.value, int(shown.answer.ranking.images[0, 3])
    shown.results.children[1 + 3].button.click()
    assert shown.image == image
    assert shown.heat.value != before
    assert shown.answer.benchmark.images["image_id"].iloc[image] in shown.table.value
    # the list starts with the winning patch, whose score is the image's
    first = shown.table.value.split("<td>")[2]
    assert first.startswith(f"{shown.answer.ranking.scores[0, 3]:.3f}")


def test_codes_are_searched_when_chosen(shown: widgets.Explorer) -> None:
    exact = shown.answer.ranking.scores
    shown.controls["index"].value = "PQ"
    assert shown.setup.index == "PQ"
    assert not np.array_equal(shown.answer.ranking.scores, exact)
    shown.controls["index"].value = "exact"
    assert np.array_equal(shown.answer.ranking.scores, exact)


def test_another_encoder_describes_anew(shown: widgets.Explorer) -> None:
    shown.controls["encoder"].value = "cnn-small-40"
    assert shown.answer.features.meta["encoder"] == "cnn-small-40"
    assert captions(shown) == expected(shown, 0)


def test_what_cannot_be_done_is_said_and_nothing_changes(shown: widgets.Explorer) -> None:
    shown.controls["index"].value = "PQ"
    before = captions(shown)
    shown.controls["level"].value = 0  # 14 whole images cannot train 256 codes
    assert "alert" in shown.status.value and "train" in shown.status.value
    assert (shown.controls["level"].value, shown.controls["index"].value) == (3, "PQ")
    assert captions(shown) == before
    shown.controls["index"].value = "exact"
    shown.controls["level"].value = 0
    assert shown.setup.level == 0 and "alert" not in shown.status.value


def test_a_benchmark_that_is_not_there_says_how_to_get_it(
    bench: session.SearchSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    bench.runs |= session.SearchSession("workshop", encoder="colour-histogram").runs
    shown = widgets.Explorer(bench)
    shown.controls["benchmark"].value = "grocery"
    assert "data get grocery" in shown.status.value
    assert shown.controls["benchmark"].value == "folder"


def test_a_photo_of_ones_own_is_searched_upright(shown: widgets.Explorer) -> None:
    upright = builders.picture(60, 40, 7)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    upload(shown, png(upright.transpose(Image.Transpose.ROTATE_90), exif=exif))
    assert np.array_equal(np.asarray(shown.answer.picture), np.asarray(upright))
    # nobody knows what is right: neither words nor frames
    assert not any(word in caption for caption in captions(shown) for word in ("positive", "negative"))
    assert "nobody knows" in shown.status.value


def test_a_photo_finds_itself_and_stays_the_query(shown: widgets.Explorer, folder: Path) -> None:
    upload(shown, (folder / "database" / "thing13__database.png").read_bytes())
    assert shown.answer.ranking.images[0, 0] == 13
    shown.controls["level"].value = 1
    assert shown.answer.name == "mine.png" and shown.answer.ranking.images[0, 0] == 13
    assert shown.table.value.count("<tr>") == 5
    shown.queries.children[2].button.click()
    assert shown.answer.name == "thing02__queries.png"


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_photo_is_named_and_nothing_changes(shown: widgets.Explorer, content: bytes | None) -> None:
    before = captions(shown)
    upload(shown, png(builders.picture(90, 90, 1))[:-900] if content is None else content, "<b>torn</b>.png")
    assert "alert" in shown.status.value
    assert "cannot read image &lt;b&gt;torn&lt;/b&gt;.png" in shown.status.value
    assert captions(shown) == before and shown.answer.name == "thing00__queries.png"


def test_a_query_that_cannot_be_read_is_grey_and_closes_nothing(
    shown: widgets.Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = images.read

    def torn(path: str) -> Image.Image:
        if "thing11__queries" in str(path):
            raise images.ImageError("cannot read image thing11")
        return read(path)

    monkeypatch.setattr(images, "read", torn)
    shown.forward.click()
    tile = shown.queries.children[1]
    assert Image.open(io.BytesIO(tile.children[0].children[0].value)).getpixel((45, 45)) == (128, 128, 128)
    tile.button.click()
    assert "cannot read image thing11" in shown.status.value
    assert shown.answer.name == "thing00__queries.png"


def test_a_mistake_of_ours_is_not_swallowed(
    shown: widgets.Explorer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session.SearchSession, "ask", lambda *_, **__: 1 / 0)
    shown.queries.children[1].button.click()
    assert "ZeroDivisionError" in caplog.text
    assert "failed" in shown.status.value


def test_its_output_is_widgets_and_a_picture_of_them(shown: widgets.Explorer) -> None:
    bundle = shown._repr_mimebundle_()
    assert bundle[notebooks.WIDGET]["model_id"] == shown.view.model_id
    assert bundle["text/plain"] == f"Explorer, {shown.answer.summary()}"
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])))
    assert picture.width > picture.height > 200
    assert shown._repr_mimebundle_()["image/jpeg"] == bundle["image/jpeg"]


def test_a_committed_notebook_keeps_the_picture_alone(shown: widgets.Explorer) -> None:
    output = v4.new_output("execute_result", shown._repr_mimebundle_(), execution_count=1)
    notebook = v4.new_notebook(cells=[v4.new_code_cell("shown", outputs=[output])], metadata={"widgets": {"state": {}}})
    kept = nbformat.reads(notebooks.text(notebook), as_version=4)
    assert set(kept.cells[0].outputs[0].data) == {"image/jpeg", "text/plain"}
    assert "widgets" not in kept.metadata
    assert notebooks.WIDGET in notebook.cells[0].outputs[0].data, "the argument stays as it is"


def test_every_picture_to_click_on_has_a_name(shown: widgets.Explorer) -> None:
    for tile in (*shown.queries.children, *shown.results.children[1:]):
        assert isinstance(tile.button, ipywidgets.Button)
        assert tile.button.tooltip and not tile.button.disabled


def test_scores_are_those_of_the_benchmark(bench: session.SearchSession) -> None:
    owned, data = bench.features(bench.default), bench.run("folder").data
    table = metrics.evaluate(search.rank(owned.query_descriptors, owned), data, owned)
    for query, row in table.iterrows():
        found = bench.ask(bench.default, query)
        assert found.scores["ap"] == pytest.approx(row["ap"])
        assert found.name == row["query_id"]


def test_a_photo_of_a_query_is_answered_as_the_query(bench: session.SearchSession, folder: Path) -> None:
    content = (folder / "queries" / "thing03__queries.png").read_bytes()
    photo, query = bench.ask_photo(bench.default, content, "mine"), bench.ask(bench.default, 3)
    assert np.array_equal(photo.ranking.images, query.ranking.images)
    assert np.allclose(photo.descriptor, query.descriptor)
    assert (photo.kind(0), query.kind(3), query.kind(0)) == (None, "positive", "negative")


def test_unknown_names_are_named(bench: session.SearchSession) -> None:
    with pytest.raises(ValueError, match="unknown benchmark 'foldr'; did you mean folder"):
        bench.run("foldr")
    with pytest.raises(ValueError, match="unknown index 'pq'"):
        bench.ask(session.Setup("folder", "colour-histogram", index="pq"), 0)
    with pytest.raises(ValueError, match="query 12, expected 0 to 11"):
        bench.ask(bench.default, 12)


def test_thumbnails_show_boxes_and_frame_in_place() -> None:
    wide = Image.new("RGB", (200, 100), "white")
    small = pictures.thumbnail(wide, [((0, 0, 100, 100), "truth")], "negative", side=110)
    # 100 x 50 pixels in the middle, the frame 5 pixels around it
    assert small.getpixel((55, 24)) == small.getpixel((55, 86)) == (255, 255, 255)
    assert small.getpixel((55, 26)) == Image.new("RGB", (1, 1), plots.BOXES["negative"]).getpixel((0, 0))
    yellow = Image.new("RGB", (1, 1), plots.BOXES["truth"]).getpixel((0, 0))
    assert small.getpixel((5, 50)) == yellow and small.getpixel((55, 50)) == yellow
    assert small.getpixel((30, 50)) == (255, 255, 255)
