"""The data manifest: the one that is shipped, and mistakes in others."""

from __future__ import annotations

import copy
from urllib.parse import urlsplit

import pytest
import yaml

from patchlib import benchmarks
from patchlib.benchmarks.image_files import published
from patchlib.download import manifest

GOOD = {
    "kind": "benchmark",
    "title": "T",
    "home": "https://example.org",
    "licence": "MIT",
    "citation": "@misc{t}",
    "folder": "t",
    "verified": "nothing",
    "files": [{"name": "t.zip", "urls": ["https://example.org/t.zip"], "sha256": "0" * 64, "unpack": "zip"}],
    "expected": {"images": 3},
}


def write(tmp_path, entry):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump({"entries": {"t": entry}}))
    return path


def test_a_good_entry(tmp_path):
    entry = manifest.load(write(tmp_path, GOOD))["t"]
    assert entry.files == (
        manifest.File(name="t.zip", urls=("https://example.org/t.zip",), sha256="0" * 64, unpack="zip"),
    )
    assert entry.expected == {"images": 3}
    assert (entry.layout, entry.listing) == (None, None)


def changed(*path_and_value):
    *path, key, value = path_and_value
    entry = copy.deepcopy(GOOD)
    place = entry
    for step in path:
        place = place[step]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return entry


MISTAKES = [
    (changed("licence", None), ": the key 'licence' is missing"),
    (changed("kind", "dataset"), ".kind: expected benchmark, ids, features or weights, got 'dataset'"),
    (changed("licnce", "MIT"), ": unknown key 'licnce'; did you mean licence"),
    (changed("title", "  "), ".title: expected text"),
    (changed("citation", "Smith 2020"), ".citation: expected BibTeX"),
    (changed("folder", "../elsewhere"), ".folder: expected a path in the data folder"),
    (changed("expected", "pictures", 3), ".expected: unknown key 'pictures'; .*Known: images, queries"),
    (changed("expected", "images", -3), ".expected.images: expected a whole number >= 0, got -3"),
    (changed("files", None), ": expected a mapping with files or a listing"),
    (changed("files", "t.zip"), ".files: expected a list of files, got 't.zip'"),
    (changed("files", 0, "url", "https://x.org"), r".files\[0\]: unknown key 'url'; did you mean urls"),
    (changed("files", 0, "urls", []), r".files\[0\].urls: expected a list of addresses"),
    (changed("files", 0, "urls", ["file:///etc/passwd"]), r"urls\[0\]: expected an address with https, .*got 'file:"),
    (changed("files", 0, "name", "/etc/passwd"), "name: expected a path in the data folder"),
    (changed("files", 0, "name", "a\\b"), "name: expected a path in the data folder"),
    (changed("files", 0, "sha256", "abc"), "sha256: expected 64 hex digits in lower case, got 'abc'"),
    (changed("files", 0, "bytes", "12 MB"), "bytes: expected a whole number >= 0, got '12 MB'"),
    (changed("files", 0, "unpack", "rar"), "unpack: expected zip or tar, got 'rar'"),
    (changed("files", [GOOD["files"][0]] * 2), ".files: a name is there twice"),
    (changed("listing", {"format": "index", "url": "https://x.org/"}), ".listing: the key 'match' is missing"),
    ("text", ": expected a mapping with files or a listing, got 'text'"),
]


@pytest.mark.parametrize(("entry", "message"), MISTAKES)
def test_mistakes_name_file_entry_key_and_value(tmp_path, entry, message):
    with pytest.raises(ValueError, match=f"m.yaml, entries.t.*{message}"):
        manifest.load(write(tmp_path, entry))


@pytest.mark.parametrize("text", ["entries: [", "[]", "other: {}", ""])
def test_no_manifest(tmp_path, text):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ValueError, match="m.yaml"):
        manifest.load(tmp_path / "m.yaml")


def test_the_shipped_manifest():
    entries = manifest.load()
    assert {"grocery", "instre", "ilias-core", "ilias-ids", "ilias-yfcc100m", "mini-ilias-ids", "ames"} <= set(entries)
    assert {"ilias-features", "ilias-lin-adapt"} <= set(entries)
    for entry in entries.values():
        assert entry.layout is None or entry.layout in benchmarks.NAMES
        assert urlsplit(entry.home).scheme in ("http", "https")
        # braces of BibTeX close, and every entry says what could not be checked
        assert entry.citation.count("{") == entry.citation.count("}")
        assert len(entry.verified) > 40
    assert dict(entries["instre"].expected) == {"images": 27293, "queries": 1250}
    assert entries["ilias-core"].expected["images"] == 4715


def test_citations_are_the_loaders():
    entries = manifest.load()
    for name in ("grocery", "instre", "ilias"):
        entry = entries["ilias-core" if name == "ilias" else name]
        assert " ".join(published(name)["citation"].split()) == " ".join(entry.citation.split())
