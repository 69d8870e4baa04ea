"""The data manifest: the one that is shipped, and mistakes in others."""

from urllib.parse import urlsplit

import pytest
import yaml

from patchlib import benchmarks
from patchlib.benchmarks.image_files import published
from patchlib.download import manifest

FILE = {"name": "t.zip", "urls": ["https://example.org/t.zip"], "bytes": None, "sha256": "0" * 64, "unpack": "zip"}
GOOD = {
    "kind": "benchmark",
    "title": "T",
    "home": "https://example.org",
    "licence": "MIT",
    "citation": "@misc{t}",
    "folder": "t",
    "verified": "nothing",
    "files": [FILE],
    "expected": {"images": 3},
}


def load(tmp_path, entry):
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"entries": {"t": entry}}))
    return manifest.load(tmp_path / "m.yaml")["t"]


def test_a_good_entry(tmp_path):
    entry = load(tmp_path, GOOD)
    assert entry.files == (manifest.File(**FILE | {"urls": ("https://example.org/t.zip",)}),)
    assert entry.expected == {"images": 3}
    assert (entry.layout, entry.listing) == (None, None)


MISTAKES = [
    ({"licence": ...}, ": the key 'licence' is missing"),
    ({"kind": "dataset"}, ".kind: expected benchmark, ids, features or weights, got 'dataset'"),
    ({"licnce": "MIT"}, ": unknown key 'licnce'; did you mean licence"),
    ({"title": "  "}, ".title: expected text"),
    ({"citation": "Smith 2020"}, ".citation: expected BibTeX"),
    ({"folder": "../elsewhere"}, ".folder: expected a path in the data folder"),
    ({"expected": {"pictures": 3}}, ".expected: unknown key 'pictures'; did you mean "),
    ({"expected": {"images": -3}}, ".expected.images: expected a whole number >= 0, got -3"),
    ({"files": ...}, ": expected a mapping with files or a listing"),
    ({"files": "t.zip"}, ".files: expected a list of files, got 't.zip'"),
    ({"files": [FILE, FILE]}, ".files: a name is there twice"),
    ({"listing": {"format": "index", "url": "https://x.org/"}}, ".listing: the key 'match' is missing"),
]
FILE_MISTAKES = [
    ({"url": "https://x.org"}, ": unknown key 'url'; did you mean urls"),
    ({"urls": []}, ".urls: expected a list of addresses"),
    ({"urls": ["file:///etc/passwd"]}, r".urls\[0\]: expected an address with https, .*got 'file:"),
    ({"name": "/etc/passwd"}, ".name: expected a path in the data folder"),
    ({"name": "a\\b"}, ".name: expected a path in the data folder"),
    ({"sha256": "abc"}, ".sha256: expected 64 hex digits in lower case, got 'abc'"),
    ({"bytes": "12 MB"}, ".bytes: expected a whole number >= 0, got '12 MB'"),
    ({"unpack": "rar"}, ".unpack: expected zip or tar, got 'rar'"),
]


@pytest.mark.parametrize(
    ("changes", "message"),
    MISTAKES + [({"files": [FILE | changes]}, rf".files\[0\]{message}") for changes, message in FILE_MISTAKES],
)
def test_mistakes_name_file_entry_key_and_value(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"m.yaml, entries.t{message}"):
        load(tmp_path, {key: value for key, value in (GOOD | changes).items() if value is not ...})


@pytest.mark.parametrize("text", ["entries: [", "[]", "other: {}", "", "entries: {t: text}"])
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


@pytest.mark.parametrize(("layout", "name"), [("grocery", "grocery"), ("instre", "instre"), ("ilias", "ilias-core")])
def test_citations_are_the_loaders(layout, name):
    assert published(layout)["citation"].split() == manifest.load()[name].citation.split()
