"""The README's numbers are the tables' numbers, its pictures the notebooks' figures."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from patchlib.run import readme
from patchlib.support import paths, provenance

TEXT = "before\n<!-- table_a -->\nold\n<!-- /table_a -->\nafter <!-- a comment -->\n"


def test_a_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "table_a.md").write_text("| x |\n| --- |\n| 1 |\n")
    filled = readme.filled(TEXT, tmp_path)
    assert filled == "before\n<!-- table_a -->\n| x |\n| --- |\n| 1 |\n<!-- /table_a -->\nafter <!-- a comment -->\n"
    assert readme.filled(filled, tmp_path) == filled


def test_a_gallery_shows_figures_and_leads_to_their_notebooks(tmp_path: Path) -> None:
    provenance.write_json(tmp_path / "fig_a.json", {"caption": 'Says "more" & G.T. too. Rest.'})
    cells = [v4.new_markdown_cell("plots.save(x, 'fig_a', y)"), v4.new_code_cell('plots.save(fig, "fig_a", record)')]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "01_one.ipynb")
    (cell,) = re.findall("<td.*td>", readme.filled("<!-- gallery: fig_a -->\n<!-- /gallery -->", tmp_path, tmp_path))
    assert cell == (
        '<td valign="top"><a href="notebooks/01_one.ipynb"><img src="figures/fig_a.png" width="260" '
        'alt="Says &quot;more&quot; &amp; G.T. too. Rest."></a><br>Says &quot;more&quot; &amp; G.T. too.</td>'
    )


def test_a_gallery_has_rows_of_three(tmp_path: Path) -> None:
    names = [f"fig_{number}" for number in range(4)]
    for name in names:
        provenance.write_json(tmp_path / f"{name}.json", {"caption": "So."})
    source = "".join(f'plots.save(fig, "{name}", record, caption)\n' for name in names)
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source)]), tmp_path / "01_one.ipynb")
    text = readme.filled(f"<!-- gallery: {' '.join(names)} -->\n<!-- /gallery -->", tmp_path, tmp_path)
    assert [row.count("<td") for row in text.split("<tr>")[1:]] == [3, 1]
    assert readme.filled(text, tmp_path, tmp_path) == text


def test_a_row_says_how_long_its_notebook_takes(tmp_path: Path) -> None:
    cells = [v4.new_markdown_cell("word " * 900), v4.new_code_cell("\n".join(["x = 1"] * 80))]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "01_one.ipynb")
    row = "| [01_one](notebooks/01_one.ipynb) | a | b | {read} | {run} |\n| other | a | 1 | - |\n"
    for known, said in (("{}", "-"), ("01_one: 0.9", "under 1"), ("01_one: 1", "1 to 5"), ("01_one: 15.1", "over 15")):
        (tmp_path / "minutes.yaml").write_text(known)
        filled = readme.filled(row.format(read=10, run="-"), tmp_path, tmp_path)
        assert filled == row.format(read=15, run=said)  # 900 / 150 + 80 / 10 = 14


@pytest.mark.parametrize(
    ("text", "name"), [(TEXT, "table_a.md"), ("<!-- gallery: fig_a -->\n<!-- /gallery -->", "fig_a")]
)
def test_what_no_notebook_has_written_is_named(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        readme.filled(text, tmp_path, tmp_path)


def test_the_committed_readme_shows_the_committed_figures_and_tables() -> None:
    text = (paths.root() / "README.md").read_text(encoding="utf-8")
    blocks = readme.BLOCK.findall(text)
    assert {"gallery", "table_levels"} <= {item for item, _ in blocks}
    assert readme.filled(text, paths.root() / "figures") == text
