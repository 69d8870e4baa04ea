"""``data_manifest.yaml``: everything that can be downloaded; ``manifest_schema.yaml`` says what each key means.

Where the names of files are the publisher's to give, the manifest has the address of the publisher's list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import fastjsonschema
import yaml

from patchlib.support import paths
from patchlib.support.suggest import unknown_name

SCHEMA = Path(__file__).with_name("manifest_schema.yaml")
HREF = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)""", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class File:
    """One file to fetch."""

    name: str
    urls: tuple[str, ...]
    bytes: int | None = None
    approximate_bytes: int | None = None
    sha256: str | None = None
    unpack: str | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files whose names the publisher's own list gives."""

    format: str
    url: str
    match: str
    folder: str = "."
    unpack: str | None = None
    approximate_bytes: int | None = None

    def read(self, text: str, address: str) -> list[File]:
        """The files that a list names.

        ``address``: where the list came from: what it names is meant from there, never a file of ours.

        Raises:
            ValueError: a line of checksums is none.
        """
        if self.format == "checksums":
            return self.choose({urljoin(address, link): sha256 for link, sha256 in _checksums(text).items()})
        urls = sorted({urljoin(address, unescape(link)) for link in HREF.findall(text)})
        return self.choose(dict.fromkeys(url for url in urls if url.startswith(address)))  # pages lead elsewhere, too

    def choose(self, files: Mapping[str, str | None]) -> list[File]:
        """Those of some files, addresses with their hashes where they are known, that are meant."""
        names: dict[str, str] = {}
        for url in files:  # of addresses with one name, the first
            name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
            names |= {url: name} if name not in names.values() else {}
        return [
            File(
                name=(PurePosixPath(self.folder) / name).as_posix(),
                urls=(url,),
                sha256=files[url],
                unpack=self.unpack,
                approximate_bytes=self.approximate_bytes,
            )
            for url, name in names.items()
            if fnmatch(name, self.match) and name.isprintable() and name not in ("", ".", "..") and "\\" not in name
        ]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A benchmark, a set of weights or of published features; ``name`` is its key in the manifest."""

    name: str
    kind: str
    title: str
    home: str
    licence: str
    citation: str
    folder: str
    verified: str
    files: tuple[File, ...] = ()
    listing: Listing | None = None
    layout: str | None = None
    layout_options: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)

    @property
    def approximate_bytes(self) -> int | None:
        """Length of all files, exact or rough; None where one is unknown."""
        lengths = [file.bytes or file.approximate_bytes for file in self.files]
        if self.listing is not None:
            each, count = self.listing.approximate_bytes, self.expected.get("files")
            lengths.append(each * count if each and count else None)
        return None if None in lengths else sum(length or 0 for length in lengths)


def load(path: Path | None = None) -> dict[str, Entry]:
    """Entries of the manifest (None = ``data_manifest.yaml`` as it ships) by name, in the file's order.

    Raises:
        ValueError: names the file, the entry, the key and the value that is wrong.
    """
    path = paths.shipped() / paths.MANIFEST if path is None else path
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        fastjsonschema.compile(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))(content)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    except fastjsonschema.JsonSchemaValueException as error:
        raise ValueError(f"{path}, {str(error.name).removeprefix('data.')}: {_explain(error)}") from error
    entries = {name: _entry(name, facts) for name, facts in content["entries"].items()}
    for entry in entries.values():
        names = [file.name for file in entry.files]
        if len(set(names)) < len(names):
            raise ValueError(f"{path}, entries.{entry.name}.files: a name is there twice: {names}")
    return entries


def _explain(mistake: fastjsonschema.JsonSchemaValueException) -> str:
    if mistake.rule in ("required", "additionalProperties"):
        known = mistake.definition["properties"]
        if strange := [key for key in mistake.value if key not in known]:
            return unknown_name("key", strange[0], known)
        missing = [key for key in mistake.definition["required"] if key not in mistake.value]
        return f"the key {missing[0]!r} is missing"
    return f"expected {mistake.definition['title']}, got {mistake.value!r}"


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    files = tuple(File(**file | {"urls": tuple(file["urls"])}) for file in facts.get("files", []))
    listing = Listing(**facts["listing"]) if "listing" in facts else None
    return Entry(**facts | {"name": name, "files": files, "listing": listing})


def _checksums(text: str) -> dict[str, str | None]:
    """Lines "sha256 address" -> address: hash."""
    rows: dict[str, str | None] = {}
    for line in filter(str.strip, text.splitlines()):
        match = re.fullmatch(r"\s*([0-9a-fA-F]{64})\s+\*?(\S.*?)\s*", line)
        if match is None:
            raise ValueError(f"the list of checksums has the line {line[:80]!r}, expected 'sha256 address'")
        rows[match[2]] = match[1].lower()
    return rows
