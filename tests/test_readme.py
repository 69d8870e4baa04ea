"""The README's numbers are the tables' numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchlib import paths, readme

TEXT = "before\n<!-- table_a -->\nold\n<!-- /table_a -->\nafter <!-- a comment -->\n"


def test_a_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "table_a.md").write_text("| x |\n| --- |\n| 1 |\n")
    filled = readme.filled(TEXT, tmp_path)
    assert filled == "before\n<!-- table_a -->\n| x |\n| --- |\n| 1 |\n<!-- /table_a -->\nafter <!-- a comment -->\n"
    assert readme.filled(filled, tmp_path) == filled


def test_a_table_that_no_notebook_wrote_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="table_a.md"):
        readme.filled(TEXT, tmp_path)


def test_the_committed_readme_shows_the_committed_tables() -> None:
    text = (paths.root() / "README.md").read_text(encoding="utf-8")
    blocks = readme.BLOCK.findall(text)
    assert blocks
    assert readme.filled(text, paths.root() / "figures") == text
