"""Where things live. Nothing here creates a folder: whoever writes a file makes its parents.

Each place can be moved by an environment variable, so that a read-only checkout, a shared data disk or a test can put
it elsewhere.
"""

import os
from pathlib import Path


def root() -> Path:
    """The checkout: the folder that holds ``notebooks/`` and ``data_manifest.yaml``."""
    return Path(__file__).resolve().parents[2]


def notebooks() -> Path:
    """The ordered notebooks."""
    return root() / "notebooks"


def figures() -> Path:
    """Where figures, tables and their records go (``PATCHLIB_FIGURES``)."""
    return _place("PATCHLIB_FIGURES", root() / "figures")


def data() -> Path:
    """Where benchmarks and downloaded weights live (``PATCHLIB_DATA``)."""
    return _place("PATCHLIB_DATA", root() / "data")


def cache() -> Path:
    """Where features and other things that can be computed again live (``PATCHLIB_CACHE``)."""
    return _place("PATCHLIB_CACHE", root() / "cache")


def _place(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else default
