"""Notebooks made ready for the website: what a cell saved is described and traced."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nbformat import NotebookNode, v4
from PIL import Image

from patchlib.__main__ import main
from patchlib.course import slides
from patchlib.run import notebooks, numbers, pages, site
from patchlib.support import paths, provenance
from patchlib.support.items import Item

FIGURES = paths.root() / "figures"


def _png(width: int) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (width, 10), "red").save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def _described(notebook: NotebookNode) -> tuple[str, bytes]:
    """Alternative text and bytes of the picture of the first cell with code."""
    cell = notebook.cells[1]
    return cell.metadata["mystnb"]["image"]["alt"], base64.b64decode(cell.outputs[0].data["image/png"])


def _notebook(source: str, *outputs: dict[str, Any]) -> NotebookNode:
    shown = [v4.new_output("display_data", data) for data in outputs]
    cells = [
        v4.new_markdown_cell("# Title\n\n## Part *one*"),
        v4.new_code_cell(source, outputs=shown, execution_count=3),
    ]
    return v4.new_notebook(cells=cells)


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """One figure and one table, as notebooks leave them."""
    record = {"config_hash": "aaaa", "inputs": {"benchmark": "bbbb"}, "label": "toy data"}
    record |= {"profile": "builtin", "git_commit": "0123456789abcdef"}
    provenance.write_json(tmp_path / "fig_x.json", {**record, "caption": "A_b * 2 gains. More."})
    provenance.write_json(tmp_path / "table_y.json", record)
    (tmp_path / "table_y.csv").write_text("a\n1\n")
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "fig_x.png")
    return tmp_path


def test_a_figure_is_shown_as_saved_with_its_caption_and_record(figures: Path) -> None:
    notebook = _notebook('plots.save(fig, "fig_x", record, caption)\nplt.show()', {"image/png": _png(20)})
    assert [item.name for item in pages.annotate(notebook, figures, "../")] == ["fig_x"]
    note = notebook.cells[2]
    assert _described(notebook) == ("A_b * 2 gains. More.", (figures / "fig_x.png").read_bytes())
    assert ":name: record-fig-x\n\nA\\_b \\* 2 gains. More." in note.source
    made = "toy data · cell 3 · profile builtin · commit `012345678` · settings `aaaa` · benchmark `bbbb`"
    assert f'<a href="../figures/fig_x.json">record</a> · {made}' in note.source


def test_a_table_leads_to_its_data(figures: Path) -> None:
    notebook = _notebook('report.percent(report.save_table(frame, "table_y", record))', {"text/html": "<table/>"})
    (item,) = pages.annotate(notebook, figures, "../")
    assert (item.name, item.caption) == ("table_y", "")
    links = '<a href="../figures/table_y.json">record</a> · <a href="../figures/table_y.csv">CSV</a>'
    assert f"`table_y`: {links} · toy data" in notebook.cells[2].source


def test_columns_of_words_are_marked_columns_of_numbers_are_not(figures: Path) -> None:
    frame = pd.DataFrame(
        {"why": ["too small", "dark"], "n": ["1.5", "no boxes"], "who": ["Ann", "Bob"]}, index=["a", "b"]
    )
    notebook = _notebook("frame", {"text/html": frame._repr_html_()})
    pages.annotate(notebook, figures, "")
    assert 'class="dataframe words-1 words-3"' in notebook.cells[1].outputs[0].data["text/html"]


def test_what_is_only_read_is_not_taken_for_saved(figures: Path) -> None:
    notebook = _notebook(
        'paper.load("table_y", x, y); plots.save(fig, "fig_absent", record, "")', {"image/png": _png(20)}
    )
    assert pages.annotate(notebook, figures, "") == []
    assert len(notebook.cells) == 2


def test_a_picture_that_is_not_saved_is_named_by_its_section(figures: Path) -> None:
    notebook = _notebook("plt.show()", {"image/png": _png(20)})
    pages.annotate(notebook, figures, "")
    assert _described(notebook) == ("Picture to: Part one", base64.b64decode(_png(20)))


def test_a_figure_may_be_saved_after_it_was_shown(figures: Path) -> None:
    notebook = _notebook("plt.show()", {"image/png": _png(20)})
    notebook.cells.append(v4.new_code_cell('plots.save(fig, "fig_x", record, caption)'))
    pages.annotate(notebook, figures, "")
    assert _described(notebook) == ("A_b * 2 gains. More.", (figures / "fig_x.png").read_bytes())


def test_controls_that_need_a_kernel_give_way_to_their_picture(figures: Path) -> None:
    widget = {notebooks.WIDGET: {"model_id": "1"}, "text/plain": "HBox(children=())"}
    notebook = _notebook("explorer", widget, {**widget, "image/png": _png(20)})
    notebook.metadata["widgets"] = {"state": {}}
    pages.annotate(notebook, figures, "")
    assert [set(output.data) for output in notebook.cells[1].outputs] == [{"image/png", "text/plain"}]
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize(
    ("committed", "opening"),
    [(True, "Every experiment of *Patch-wise"), (False, "A run of the profile builtin: 1 notebooks of")],
)
def test_only_the_committed_run_shows_every_experiment(
    tmp_path: Path, figures: Path, monkeypatch: pytest.MonkeyPatch, committed: bool, opening: str
) -> None:
    notebook = _notebook('report.save_table(frame, "table_y", record)', {"text/html": "<table/>"})
    (tmp_path / "03_x.ipynb").write_text(json.dumps(notebook))
    if committed:
        monkeypatch.setattr(paths, "notebooks", lambda: tmp_path)
    (tmp_path / "minutes.yaml").write_text("03_x: 1.5")
    site.stage(tmp_path, figures, tmp_path / "out")
    text = (tmp_path / "out" / "index.md").read_text(encoding="utf-8")
    assert opening in text and ("Every experiment" in text) == committed and "<!--" not in text
    assert "title     = {Patch-wise Retrieval" in text
    page = notebooks.read(tmp_path / "out" / "notebooks" / "03_x.ipynb")
    assert (
        "1.5 minutes to run" in page.cells[1].source
    ) == committed and 'href="../notebooks/03_x.ipynb"' in page.cells[1].source
    to_run = notebooks.read(tmp_path / "out" / "files" / "notebooks" / "03_x.ipynb")
    assert [cell.outputs for cell in notebooks.code(to_run)] == [[]]


def test_long_cells_are_folded_and_empty_headings_are_cells(figures: Path) -> None:
    notebook = _notebook("x = 1\n" * (pages.LONG + 1), {"text/html": "<table><th></th><th>a</th></table>"})
    notebook.cells.append(v4.new_code_cell("x = 1"))
    pages.annotate(notebook, figures, "")
    assert [cell.metadata.get("tags") for cell in notebook.cells[1:]] == [["hide-input"], None]
    assert notebook.cells[1].outputs[0].data["text/html"] == "<table><td></td><th>a</th></table>"


def test_a_wide_figure_scrolls_on_a_phone(figures: Path) -> None:
    notebook = _notebook('plots.save(fig, "fig_x", record, caption)', {"image/png": _png(20)})
    notebook.cells.append(
        v4.new_code_cell("plt.show()", outputs=[v4.new_output("display_data", {"image/png": _png(20)})])
    )
    pages.annotate(notebook, figures, "")
    shown = [cell.metadata["mystnb"]["image"].get("classes") for cell in notebooks.code(notebook)]
    assert shown == ["wide", None]


def test_every_number_of_a_table_is_a_row_and_the_papers_too(figures: Path) -> None:
    (figures / "table_y.csv").write_text("level,patches,mAP,low\nL0,1,20.5,\nL1,5,30,28.25\n")
    item = Item("table_y", provenance.read_json(figures / "table_y.json"), figures)
    rows = numbers.rows({"p.html#y": item})
    assert [row for row in rows if row[0] == "ours"] == [
        ["ours", "table_y", "level L0, patches 1", "mAP", "20.5", "p.html#y"],
        ["ours", "table_y", "level L1, patches 5", "mAP", "30", "p.html#y"],
        ["ours", "table_y", "level L1, patches 5", "low", "28.25", "p.html#y"],
    ]
    printed = ["paper", "table_2_region_selection", "method Global, benchmark INSTRE", "mAP", "78.48", ""]
    assert (
        printed in rows and ["paper", "fig_1_teaser", "case 1, benchmark not stated", "AP global", "0.039", ""] in rows
    )


def test_no_notebooks_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make reproduce"):
        site.stage(tmp_path, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("name", ["site", "site-source"])
def test_nothing_but_an_old_site_is_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="in the way"):
        site.build(paths.notebooks(), FIGURES, tmp_path / "site")
    assert (tmp_path / name / "thesis.txt").exists()


def test_the_site_of_a_profile_shows_its_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, ...]] = []
    shown: list[Path] = []
    monkeypatch.setattr(site, "build", lambda *places, **_: asked.append(places) or places[-1] / "index.html")
    monkeypatch.setattr(slides, "build", lambda out: shown.append(out))
    monkeypatch.delenv("PATCHLIB_FIGURES", raising=False)
    assert main(["site"]) == main(["site", "--profile", "workshop"]) == 0
    build = paths.root() / "build"
    run = build / "workshop"
    assert asked == [
        (paths.notebooks(), FIGURES, build / "builtin" / "site"),
        (run / "notebooks", run / "figures", run / "site"),
    ]
    assert shown == [build / "builtin" / "site" / "slides"]
    assert capsys.readouterr().out.splitlines()[1].endswith("/build/workshop/site/index.html")


def test_the_artifact_appendix_names_notebooks_that_exist() -> None:
    rows = [
        line for line in (paths.root() / "ARTIFACT.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    named = {number for row in rows[1:] for number in row.split("|")[2].strip().split(", ")}
    assert len(rows) > 10 and named <= {path.name[:2] for path in paths.notebooks().glob("[0-9]*.ipynb")}
