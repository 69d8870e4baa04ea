"""Canonical configurations, hashes, atomic files, records."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchlib.support import provenance

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@dataclass
class Setting:
    level: int
    root: Path


def test_canonical_json_has_one_text_for_equal_settings() -> None:
    one = {"b": (1, 2), "a": Path("x/y"), "c": np.float64(0.5), "d": np.arange(2), "e": {3, 1}}
    one["f"] = Setting(3, Path("r"))
    text = '{"a":"x/y","b":[1,2],"c":0.5,"d":[0,1],"e":[1,3],"f":{"level":3,"root":"r"}}'
    assert provenance.canonical_json(one) == text
    assert provenance.canonical_json(dict(reversed(one.items()))) == text


@given(JSON)
def test_plain_is_what_comes_back_from_json(obj: Any) -> None:
    assert provenance.plain(obj) == obj
    assert provenance.canonical_json(provenance.plain(obj)) == provenance.canonical_json(obj)


def test_config_hash_is_the_head_of_the_sha256() -> None:
    assert provenance.config_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()[:8]


@pytest.mark.parametrize(("obj", "error"), [(object(), TypeError), (float("nan"), ValueError), (np.nan, ValueError)])
def test_no_canonical_form(obj: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        provenance.canonical_json({"a": obj})


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert provenance.sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_atomic_write_replaces_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with provenance.atomic_write(target, "w") as file:
        file.write("ü")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "ü"
    with pytest.raises(KeyboardInterrupt), provenance.atomic_write(target, "w") as file:
        file.write("half")
        raise KeyboardInterrupt
    assert target.read_text(encoding="utf-8") == "ü"
    assert os.listdir(target.parent) == ["file.txt"]


def test_atomic_write_gives_the_usual_rights_even_from_many_threads(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:

        def write(index: int) -> int:
            with provenance.atomic_write(tmp_path / str(index)) as file:
                file.write(b"x")
            return stat.S_IMODE((tmp_path / str(index)).stat().st_mode)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(write, range(200))) == {0o666 & ~0o027}
    finally:
        assert os.umask(before) == 0o027


def test_json_files_round_trip_and_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one = provenance.write_json(tmp_path / "one.json", {"b": 1, "a": [Path("p"), np.int64(3)]})
    two = provenance.write_json(tmp_path / "two.json", {"a": ["p", 3], "b": 1})
    assert one.read_bytes() == two.read_bytes()
    assert provenance.read_json(one) == {"a": ["p", 3], "b": 1}


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(ValueError, match=r"meta\.json is not valid JSON .*remove it"):
        provenance.read_json(tmp_path / "meta.json")


def test_record_has_no_time_and_says_what_made_it() -> None:
    one, two = (provenance.record({"k": 1}, {"benchmark": "abc"}, "builtin", "built-in benchmark") for _ in range(2))
    assert provenance.canonical_json(one) == provenance.canonical_json(two)
    assert one["config_hash"] == provenance.config_hash({"k": 1})
    assert one["packages"]["numpy"] == np.__version__
    told = {"inputs": {"benchmark": "abc"}, "profile": "builtin", "label": "built-in benchmark"}
    assert one.items() >= told.items()


def test_no_commit_outside_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() is None
