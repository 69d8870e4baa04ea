"""``python -m patchlib data``: what it prints, what it returns."""

import hashlib
import shutil

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


@pytest.fixture
def data(tmp_path, web):
    """Runs the command with a manifest that has INSTRE in miniature, served by the fixture's server."""
    layouts.write_instre(tmp_path / "made")
    content = (tmp_path / shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "made")).read_bytes()
    web.files |= {"/made.zip": content, "/a.txt": b"a"}
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "unpack": "zip"}
    file = {"name": "made.zip", "urls": [f"{web.url}/made.zip"]} | facts
    entries = {
        "mini": FACTS
        | {"folder": "mini", "layout": "instre", "files": [file], "expected": {"images": 6, "queries": 4}},
        "other": FACTS
        | {"folder": "other", "files": [{"name": "a.txt", "urls": [f"{web.url}/a.txt"]}], "expected": {"files": 2}},
    }

    def run(action, *arguments, **expected):
        counted = {name: entry | {"expected": expected.get(name, entry["expected"])} for name, entry in entries.items()}
        (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({"entries": counted}))
        return main(["data", action, *map(str, arguments), "--manifest", str(tmp_path / "manifest.yaml")])

    return run


def test_list_get_verify_cite(data, capsys):
    assert data("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1::2][:2]] == ["mini", "other"]
    assert "kB " in lines[1] and " -  A thing" in lines[1]
    assert "MIT" in lines[2]
    assert data("get", "mini") == 0
    out = capsys.readouterr().out
    assert "licence: MIT" in out and "free in" in out and "images  expected         6  found         6" in out
    assert data("verify") == 0
    assert "mini: 0 files missing or different" in capsys.readouterr().out
    assert data("list", "mini") == 0
    assert "complete" in capsys.readouterr().out
    assert data("cite", "mini", "other") == 0
    assert capsys.readouterr().out.strip() == "@misc{thing2020}"


def test_verify_names_a_file_and_returns_1(data, tmp_path, capsys):
    data("get", "mini")
    (tmp_path / "data/mini/INSTRE-M/01/003.txt").write_text("1 1 1 1\n2 2 2 2\n")
    assert data("verify", "mini", "--quick") == 1
    assert "INSTRE-M/01/003.txt has 16 bytes, expected 20" in capsys.readouterr().out


def test_counts_are_compared_by_get_and_verify(data, capsys):
    assert data("get", "mini", mini={"images": 27293}) == 0
    assert "expected    27,293  found         6  <-" in (out := capsys.readouterr().out)
    assert "a part of what is published" in out
    assert data("verify", mini={"images": 7}) == 1
    assert "images  expected         7  found         6  <-" in capsys.readouterr().out
    # of what no loader reads, the files
    assert data("get", "other") == 0
    assert data("verify", "other") == 1
    assert "files  expected         2  found         1  <-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mni"], 2, "did you mean mini"),
        (["mini", "--only", "*.tar"], 2, "no file of mini matches '*.tar'"),
        (["mini", "--limit", "0"], 2, "limit is 0, expected at least 1"),
        (["mini", "--from", "nowhere"], 1, "is not there"),
    ],
)
def test_a_failed_download_is_1_and_a_mistake_2(data, capsys, arguments, code, message):
    assert data("get", *arguments) == code
    assert message in capsys.readouterr().err


def test_what_was_put_there_by_hand_is_counted(data, tmp_path, capsys):
    layouts.write_instre(tmp_path / "data/mini")
    assert data("verify", "mini") == 0
    out = capsys.readouterr().out
    assert "was not fetched by this command, so only its counts" in out
    assert "images  expected         6  found         6" in out


def test_nothing_fetched_yet(data, capsys):
    assert data("verify") == 0
    assert "nothing has been fetched" in capsys.readouterr().out
    assert data("verify", "mini") == 2
    assert "data get mini" in capsys.readouterr().err


def test_from_and_the_mirror_variable(data, tmp_path, web, monkeypatch):
    assert data("get", "mini", "--from", tmp_path / "made.zip", "--data", tmp_path / "a") == 0
    assert web.requests == []
    monkeypatch.setenv("PATCHLIB_MIRROR", f"{web.url}/campus")
    web.files["/campus/mini/made.zip"] = web.files["/made.zip"]
    assert data("get", "mini", "--data", tmp_path / "b") == 0
    assert [path for path, _ in web.requests] == ["/campus/mini/made.zip"]
    assert (tmp_path / "b/mini/gnd_instre.mat").exists()


def test_the_shipped_manifest_can_be_listed_and_cited(capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "6.30TB" in out and "2.30GB" in out
    assert main(["data", "cite", "instre"]) == 0
    assert "wang2015instre" in capsys.readouterr().out
