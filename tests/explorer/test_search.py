"""The search command: one's own photographs, without labels, from the terminal."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from patchlib import features
from patchlib.__main__ import main
from patchlib.benchmarks import album
from patchlib.explorer import search
from patchlib.support import paths

RUN = {"level": "L3", "encoder": "colour-histogram", "top": 10}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve grey photographs with a patch of one colour, red in the upper left of the fourth."""
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        picture = Image.new("RGB", (160, 120), "grey")
        picture.paste("red" if number == 3 else (0, 20 * number, 255), (0, 0, 40, 30))
        (tmp_path / "photos" / "trip").mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "photos" / ("trip" if number == 3 else "") / f"{number:02d}.png")
    return tmp_path / "photos"


@pytest.fixture
def query(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 50), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_the_patch_that_shows_it_wins(folder: Path, query: Path) -> None:
    answer = search.run(query, folder, **RUN)
    assert (answer.total, len(answer.found), answer.left_out) == (12, 10, [])
    best = answer.found[0]
    assert (best.image, best.patch, best.box, best.size) == (
        "trip/03.png",
        "1/16, top left",
        (0, 0, 40, 30),
        (160, 120),
    )
    assert best.score == pytest.approx(1) and answer.found[1].score < 0.9


def test_a_picture_of_the_folder_is_not_its_own_answer(folder: Path) -> None:
    answer = search.run(folder / "trip" / "03.png", folder, **RUN | {"top": 20})
    assert len(answer.found) == 11 and "trip/03.png" not in [one.image for one in answer.found]


def test_an_unreadable_photograph_is_left_out_and_named(
    folder: Path, query: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture")
    cut = (folder / "trip" / "03.png").read_bytes()
    (folder / "cut.png").write_bytes(cut[: len(cut) // 2])
    assert main(["search", str(query), str(folder), "--encoder", "colour-histogram"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"12 photographs in {folder}, L3 by colour-histogram"
    assert re.findall(r"cannot be read: .*/(\S+)", err) == ["broken.jpg", "cut.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["red.png", "absent"], "absent is not a folder"),
        (["red.png", "empty"], "holds no photograph (1 other file); it reads .bmp"),
        (["notes.txt", "photos"], "cannot read image notes.txt"),
        (["absent.jpg", "photos"], "cannot read image absent.jpg: no such file"),
        (["red.png", "photos", "--level", "L3x"], "unknown region strategy 'L3x'"),
        (["red.png", "photos", "--encoder", "cnn-smal"], "did you mean cnn-small"),
        (["red.png", "photos", "--top", "0"], "top is 0"),
    ],
)
def test_mistakes_are_said_in_one_line(
    arguments: list[str], message: str, folder: Path, query: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(query.parent)
    Path("empty").mkdir()
    for text in ("empty/notes.txt", "notes.txt"):
        Path(text).write_text("milk")
    assert main(["search", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_the_page_holds_all_it_shows(folder: Path, query: Path, tmp_path: Path) -> None:
    (folder / "<b>&.png").write_bytes((folder / "trip" / "03.png").read_bytes())
    assert main(["search", str(query), str(folder), "--html", str(tmp_path / "r.html"), "--encoder", "colour-histogram",
                 "--top", "3"]) == 0  # fmt: skip
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/jpeg;base64,', text)) == len(re.findall("src=", text)) == 4
    assert "left:0.00%;top:0.00%;width:25.00%;height:25.00%" in text
    assert "&lt;b&gt;&amp;.png" in text and "<b>&.png" not in text and "<!-- " not in text


def test_the_folder_is_described_once(folder: Path, query: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = search.run(query, folder, **RUN)
    monkeypatch.setattr(features.extraction, "write_missing", None)  # would fail if it were called
    assert search.run(query, folder, **RUN) == first


@pytest.mark.parametrize(
    ("box", "said"),
    [((0, 0, 90, 60), "whole image"), ((45, 0, 90, 30), "1/4, top right"), ((30, 20, 60, 40), "1/9, middle centre"),
     ((0, 45, 22, 60), "1/16, bottom left")],
)  # fmt: skip
def test_places_in_words(box: tuple[int, ...], said: str) -> None:
    assert search.place(box, 90, 60) == said


def test_a_warm_answer_needs_no_torch() -> None:
    code = "import sys, patchlib.explorer.search; print({'torch', 'matplotlib', 'timm'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=paths.root())
    assert ran.stdout.strip() == "set()"


def test_an_album_has_every_photograph_and_no_positives(folder: Path) -> None:
    data = album.load(folder)
    assert len(data.images) == 12 and len(data.queries) == 1 and data.positives.empty
