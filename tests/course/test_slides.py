"""Slides are made from the notebooks, and load nothing from elsewhere."""

import re
from pathlib import Path

import pytest
from nbformat import v4

from patchlib.course import slides, student


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return slides.build(tmp_path_factory.mktemp("slides"))


def test_a_page_a_session_with_what_it_needs_beside_it(made: list[Path]) -> None:
    assert [page.stem for page in made] == [source.stem for source in student.sources()]
    for page in made:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', text)
        files = [file for file in loaded if not file.startswith("data:")]
        assert "revealjs/dist/reveal.js" in files and "revealjs/dist/theme/white.css" in files
        assert all((page.parent / file).is_file() for file in files)
        assert text.count("<section") >= 6
    style = (made[0].parent / "revealjs/dist/theme/white.css").read_text(encoding="utf-8")
    assert "http" not in " ".join(re.findall(r"@import[^;]+;", style))


def test_solutions_are_not_shown(made: list[Path]) -> None:
    for page in made:
        assert "def " not in re.sub(r"<style.*?</style>|<script.*?</script>", "", page.read_text("utf-8"), flags=re.S)


def test_formulas_become_mathml() -> None:
    cells = [v4.new_markdown_cell("of $x_i$ and\n\n$$\\frac{1}{R}$$"), v4.new_code_cell("'$x$'")]
    text, code = slides.with_formulas(v4.new_notebook(cells=cells)).cells
    assert text.source.count("<math") == 2 and "<mfrac>" in text.source and "$" not in text.source
    assert code.source == "'$x$'"
