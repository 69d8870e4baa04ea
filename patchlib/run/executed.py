"""Notebooks that have been executed here with their own parameters, by the content of all that decides their outputs.

``make test`` compares the outputs of such a notebook with the committed ones in the place of executing it again.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchlib.run import notebooks
from patchlib.support import machine, paths, provenance

if TYPE_CHECKING:
    from nbformat import NotebookNode

INJECTED = "injected-parameters"  # papermill's tag of the cell that sets parameters; here those that change no number


def keep(path: Path, executed: NotebookNode) -> None:
    """Keep what a notebook gave just now, in the place of what it gave before."""
    kept, target = copy.deepcopy(executed), _place(path)
    kept.cells = [cell for cell in kept.cells if INJECTED not in cell.metadata.get("tags", [])]
    kept.metadata["data"] = _data()
    for earlier in set(target.parent.glob(f"{path.stem}-*.ipynb")) - {target}:
        earlier.unlink(missing_ok=True)
    provenance.write_changed(target, notebooks.text(kept))


def known(path: Path) -> NotebookNode | None:
    """The notebook as this machine executed it, if nothing that decides its outputs has changed since."""
    place, there = _place(path), _data()
    kept = notebooks.read(place) if place.exists() else None
    return kept if kept and kept.metadata["data"].items() <= there.items() else None


def code(path: Path, values: Mapping[str, Any]) -> str:
    """Hash of a notebook's code, of the parameters set and of the library: the same compute the same."""
    cells = [[cell.source, cell.metadata.get("tags")] for cell in notebooks.code(notebooks.read(path))]
    text = provenance.canonical_json([cells, dict(values), provenance.library()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _place(path: Path) -> Path:
    """Its name holds the code, the processor, and the records and tables of earlier pages, which later ones read."""
    records = sorted(file for file in (paths.root() / "figures").glob("*") if file.suffix in (".json", ".csv"))
    read = {file.name: provenance.sha256_file(file) for file in records}
    beside = provenance.config_hash([machine.kind(), read])
    return paths.cache() / "runs" / f"{path.stem}-{code(path, {})}-{beside}.ipynb"


def _data() -> dict[str, str]:
    """A hash of the files of each benchmark that is there: their names, sizes and times."""
    told: dict[str, str] = {}
    for folder in sorted(path for path in paths.data().glob("*") if path.is_dir()):
        status = [(str(file), file.stat()) for file in sorted(folder.rglob("*")) if file.is_file()]
        told[folder.name] = provenance.config_hash([[name, s.st_size, s.st_mtime_ns] for name, s in status])
    return told
