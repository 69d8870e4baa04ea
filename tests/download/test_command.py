"""``python -m patchlib data``: what it prints, what it returns."""

from __future__ import annotations

import hashlib
import zipfile

import layouts
import pytest
import yaml

from patchlib.__main__ import main

FACTS = {
    "kind": "benchmark",
    "title": "A thing",
    "home": "https://example.org",
    "licence": "MIT",
    "citation": "@misc{thing2020}",
    "verified": "made by a test",
}


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PATCHLIB_MIRROR", raising=False)


@pytest.fixture
def data(tmp_path, web):
    """Runs the command with a manifest that has INSTRE in miniature, served by the fixture's server."""
    layouts.write_instre(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for path in sorted((tmp_path / "made").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "made").as_posix())
    content = (tmp_path / "made.zip").read_bytes()
    web.files["/mini.zip"] = content
    digest = hashlib.sha256(content).hexdigest()
    file = {
        "name": "mini.zip",
        "urls": [f"{web.url}/mini.zip"],
        "sha256": digest,
        "bytes": len(content),
        "unpack": "zip",
    }
    entries = {
        "mini": FACTS
        | {"folder": "mini", "layout": "instre", "files": [file], "expected": {"images": 6, "queries": 4}},
        "other": FACTS | {"folder": "other", "files": [{"name": "a.txt", "urls": [f"{web.url}/a.txt"]}]},
    }
    path = tmp_path / "manifest.yaml"

    def run(action, *arguments, changes=None):
        path.write_text(yaml.safe_dump({"entries": {**entries, **(changes or {})}}))
        return main(["data", action, *arguments, "--manifest", str(path)])

    run.entries = entries
    return run


def test_list_get_verify_cite(data, capsys):
    assert data("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1::2][:2]] == ["mini", "other"]
    assert "kB " in lines[1] and " -  A thing" in lines[1]
    assert "MIT" in lines[2]
    assert data("get", "mini") == 0
    out = capsys.readouterr().out
    assert "licence: MIT" in out
    assert "free in" in out
    assert "images  expected         6  found         6" in out
    assert data("verify") == 0
    assert "mini: no file(s) miss or differ" in capsys.readouterr().out
    assert data("list", "mini") == 0
    assert "complete" in capsys.readouterr().out
    assert data("cite", "mini", "other") == 0
    assert capsys.readouterr().out.strip() == "@misc{thing2020}"


def test_verify_names_a_file_and_returns_1(data, tmp_path, capsys):
    data("get", "mini")
    (tmp_path / "data/mini/INSTRE-M/01/003.txt").write_text("1 1 1 1\n2 2 2 2\n")
    assert data("verify", "mini", "--quick") == 1
    assert "INSTRE-M/01/003.txt has 16 bytes, expected 20" in capsys.readouterr().out


def test_verify_recounts(data, capsys):
    data("get", "mini")
    changed = data.entries["mini"] | {"expected": {"images": 7, "queries": 4}}
    assert data("verify", changes={"mini": changed}) == 1
    assert "images  expected         7  found         6  <-" in capsys.readouterr().out


def test_get_says_when_it_is_a_part(data, capsys):
    changed = data.entries["mini"] | {"expected": {"images": 27293}}
    assert data("get", "mini", changes={"mini": changed}) == 0
    assert "expected    27,293  found         6  <-" in (out := capsys.readouterr().out)
    assert "a part of what is published" in out


def test_a_failed_download_is_1_and_a_mistake_2(data, capsys):
    assert data("get", "other") == 1
    assert "answers 404" in capsys.readouterr().err
    assert data("get", "mni") == 2
    assert "did you mean mini" in capsys.readouterr().err
    assert data("get", "mini", "--only", "*.tar") == 2
    assert "no file of mini matches '*.tar'" in capsys.readouterr().err
    assert data("get", "mini", "--limit", "0") == 2
    assert "limit is 0, expected at least 1" in capsys.readouterr().err


def test_what_was_put_there_by_hand_is_counted(data, tmp_path, capsys):
    layouts.write_instre(tmp_path / "data/mini")
    assert data("verify", "mini") == 0
    out = capsys.readouterr().out
    assert "was not fetched by this command, so only its counts" in out
    assert "images  expected         6  found         6" in out


def test_files_are_counted_where_there_is_nothing_to_load(data, web, capsys):
    web.files["/a.txt"] = b"a"
    other = {"other": data.entries["other"] | {"expected": {"files": 2}}}
    assert data("get", "other", changes=other) == 0
    assert data("verify", "other", changes=other) == 1
    assert "files  expected         2  found         1  <-" in capsys.readouterr().out


def test_nothing_fetched_yet(data, capsys):
    assert data("verify") == 0
    assert "nothing has been fetched" in capsys.readouterr().out
    assert data("verify", "mini") == 2
    assert "data get mini" in capsys.readouterr().err


def test_from_and_the_mirror_variable(data, tmp_path, web, monkeypatch):
    assert data("get", "mini", "--from", str(tmp_path / "made.zip"), "--data", str(tmp_path / "a")) == 0
    assert web.requests == []
    monkeypatch.setenv("PATCHLIB_MIRROR", f"{web.url}/campus")
    web.files["/campus/mini/mini.zip"] = web.files["/mini.zip"]
    assert data("get", "mini", "--data", str(tmp_path / "b")) == 0
    assert [path for path, _ in web.requests] == ["/campus/mini/mini.zip"]
    assert (tmp_path / "b/mini/gnd_instre.mat").exists()


def test_the_shipped_manifest_can_be_listed_and_cited(capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "6.30TB" in out and "2.30GB" in out
    assert main(["data", "cite", "instre"]) == 0
    assert "wang2015instre" in capsys.readouterr().out
