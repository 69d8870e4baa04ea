"""``--scheduler``: a scheduler and workers started as one would start them; what the pages for clusters show."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from patchlib.__main__ import main
from patchlib.features import cluster
from patchlib.support import paths

PAGE = (paths.root() / "site" / "clusters.md").read_text(encoding="utf-8")
PICTURES = 40


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder benchmark."""
    from builders import picture

    for kind, count in (("queries/thing", 1), ("database/thing", PICTURES)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(count):
            picture(48, 40, number).save(tmp_path / "photos" / kind / f"{number:03d}.png")
    return tmp_path / "photos"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A scheduler and two workers of one thread, as processes of their own."""
    address, running = tmp_path / "address.json", []

    def start(*command: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "distributed.cli." + command[0], *command[1:], "--no-dashboard"]
        running.append(subprocess.Popen(line, cwd=paths.root(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    start("dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", str(address))
    for _ in range(300):
        if address.exists():
            break
        time.sleep(0.1)
    workers = [
        start("dask_worker", "--scheduler-file", str(address), "--nthreads", "1", "--no-nanny") for _ in range(2)
    ]
    where = yaml.safe_load(address.read_text())["address"]
    yield SimpleNamespace(address=where, workers=workers)
    for process in reversed(running):
        process.terminate()
        process.wait()


def test_two_workers_one_killed_the_same_bytes(
    started: SimpleNamespace, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cluster.ADDRESS, raising=False)
    command = ["extract", "--benchmark", f"folder:{photos}", "--level", "L2", "--encoder", "colour-histogram"]
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "here"))
    assert main([*command, "--workers", "1"]) == 0
    there = {**os.environ, "PATCHLIB_CACHE": str(tmp_path / "there"), "PYTHONPATH": str(paths.root())}
    line = [sys.executable, "-m", "patchlib", *command, "--scheduler", started.address]
    asked = subprocess.Popen(line, env=there, cwd=paths.root(), stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "there").rglob("image-*.npy")) and asked.poll() is None:
        time.sleep(0.01)
    started.workers[0].send_signal(signal.SIGKILL)
    out, _ = asked.communicate(timeout=120)
    assert asked.returncode == 0 and f"{PICTURES} images, {14 * PICTURES} regions" in out
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.npy")}


@pytest.mark.parametrize("command", ["extract", "reproduce"])
def test_an_address_that_does_not_answer_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert main([command, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert time.monotonic() - start < 10
    out = capsys.readouterr()
    assert out.err == "patchlib: no scheduler answers at tcp://127.0.0.1:9; start one with: dask scheduler\n"
    assert cluster.ADDRESS not in os.environ


def test_threads_here_or_a_cluster_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def snippet(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_manifest_is_a_cluster_of_the_operator() -> None:
    manifest = yaml.safe_load(snippet("yaml"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    for part in ("worker", "scheduler"):
        (container,) = manifest["spec"][part]["spec"]["containers"]
        assert container["name"] == part and container["args"][0] == f"dask-{part}"
    selector = manifest["spec"]["scheduler"]["service"]["selector"]
    assert selector["dask.org/cluster-name"] == manifest["metadata"]["name"]
    mounts = manifest["spec"]["worker"]["spec"]
    assert {one["name"] for one in mounts["volumes"]} == {
        one["name"] for one in mounts["containers"][0]["volumeMounts"]
    }


def test_the_slurm_snippet_makes_a_job_script() -> None:
    tree = ast.parse(snippet("python"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "SLURMCluster"]
    options = {word.arg: ast.literal_eval(word.value) for word in calls[0].keywords}
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    job = jobqueue.slurm.SLURMJob("tcp://scheduler:8786", name="one", **options)
    script = job.job_script()
    assert "#SBATCH -p gpu" in script and "#SBATCH --gres=gpu:1" in script and "tcp://scheduler:8786" in script


def test_commands_of_the_page_exist() -> None:
    lines = snippet("sh").splitlines()
    (command,) = (line.split()[3:] for line in lines if "patchlib" in line)
    assert main([*command[:-1], "tcp://127.0.0.1:9"]) == 2
