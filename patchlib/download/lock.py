"""``data_manifest.lock``, beside the data: hashes that were trusted on first use.

Where the manifest has no SHA-256, because the publisher gives none, the first file that arrives is trusted and its hash
pinned here; another file under that name is refused later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from patchlib.download.manifest import check_sha256
from patchlib.support.provenance import atomic_write


def read_lock(folder: Path) -> dict[str, dict[str, Any]]:
    """Pins of ``data_manifest.lock``: "entry/file" -> {sha256, bytes, source}; empty where there is no lock yet."""
    path = folder / "data_manifest.lock"
    if not path.exists():
        return {}
    try:
        pins = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {str(key): {"sha256": check_sha256(str(key), pin["sha256"]), **pin} for key, pin in pins.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); restore it, or delete it to trust the next files anew"
        ) from error


def pin(folder: Path, key: str, sha256: str, size: int, source: str) -> None:
    """Write one file's hash into the lock, atomically."""
    pins = {**read_lock(folder), key: {"sha256": sha256, "bytes": size, "source": source}}
    with atomic_write(folder / "data_manifest.lock", "w") as file:
        file.write("# Hashes trusted on first use (see data_manifest.yaml). Keep this file beside the data.\n")
        yaml.safe_dump(pins, file, sort_keys=True)
