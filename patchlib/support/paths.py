"""Where things live. Nothing here creates a folder: whoever writes a file makes its parents.

One rule. In a checkout everything lies in the checkout. Installed from a wheel, what ships is read from the package and
never written; what is made (``figures/``, ``build/``) goes to the current folder; what can be had again (benchmarks,
features) goes to the user's own folders, for all current folders alike. Environment variables move each place, so that
a read-only checkout, a shared data disk or a test can put it elsewhere.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
MANIFEST = "data_manifest.yaml"
FIRST = "00_start_here.ipynb"
LIFTED = "_shipped"  # folder of a wheel's package: pyproject.toml puts there what lies beside the package in a checkout


def is_checkout() -> bool:
    """Whether this package lies in a checkout, beside the notebooks; if not, it was installed from a wheel."""
    return (PACKAGE.parent / MANIFEST).is_file()


def root() -> Path:
    """Where things are made: the checkout, or else the current folder; of a copy of the notebooks, the folder above."""
    if is_checkout():
        return PACKAGE.parent
    here = Path.cwd()
    copies = (folder.parent for folder in (here, *here.parents) if (folder / FIRST).is_file())
    return next(copies, here)


def checkout(what: str) -> Path:
    """The checkout, for ``what`` needs one.

    Raises:
        ValueError: patchlib was installed from a wheel.
    """
    if not is_checkout():
        raise ValueError(f"{what} needs a checkout (git clone); this patchlib was installed into {PACKAGE.parent}")
    return PACKAGE.parent


def shipped() -> Path:
    """What comes along and is only read: ``notebooks/``, ``site/``, records in ``figures/``, ``data_manifest.yaml``."""
    return PACKAGE.parent if is_checkout() else PACKAGE / LIFTED


def notebooks() -> Path:
    """The ordered notebooks, as they ship."""
    return shipped() / "notebooks"


def figures() -> Path:
    """Where figures, tables and their records go (``PATCHLIB_FIGURES``)."""
    return _moved("PATCHLIB_FIGURES") or root() / "figures"


def data() -> Path:
    """Where benchmarks and downloaded weights live (``PATCHLIB_DATA``)."""
    return _moved("PATCHLIB_DATA") or _kept("data")


def cache() -> Path:
    """Where features and other things that can be computed again live (``PATCHLIB_CACHE``)."""
    return _moved("PATCHLIB_CACHE") or _kept("cache")


def _moved(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else None


def _kept(name: str) -> Path:
    if is_checkout():
        return root() / name
    import platformdirs

    return {"data": platformdirs.user_data_path, "cache": platformdirs.user_cache_path}[name]("patchlib", False)
