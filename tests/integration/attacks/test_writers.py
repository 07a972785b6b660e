"""Two processes that would write into one run: one goes on, the other says at once who does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_identity import Lab, search

COMMAND = search("digits", None)
# A search that says that it has begun, and does not go on before it is told to.
HELD = """
import os, pathlib, time
import harness.runs.stages
folder = pathlib.Path(%r)
search = harness.runs.stages.run_search
def waiting(*arguments):
    (folder / f"began-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return search(*arguments)
harness.runs.stages.run_search = waiting
"""
Started = subprocess.Popen[str]


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    monkeypatch.setenv("MODNAS_DEBUG", "")
    lab = Lab(tmp_path, capsys)
    lab.import_table("tab", "1x8x8")
    return lab


@pytest.fixture
def processes() -> Iterator[list[Started]]:
    """Those that a test started; none outlives it."""
    started: list[Started] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def begin(lab: Lab, processes: list[Started], *more: str) -> Started:
    processes.append(lab.start(HELD % str(lab.folder), *COMMAND, *more))
    return processes[-1]


def wait_until_begun(lab: Lab, process: Started) -> None:
    deadline = time.monotonic() + 120
    while not (lab.folder / f"began-{process.pid}").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_that_is_being_searched(lab: Lab, processes: list[Started]) -> None:
    first = begin(lab, processes)
    wait_until_begun(lab, first)
    (name,) = lab.runs()
    run = lab.folder / "home" / "runs" / name
    of_run = ("--run", name, "--device", "tab")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for command in (COMMAND, ("verify", *of_run)):
        began = time.monotonic()
        line = lab.refusal(*command, code=1)
        assert time.monotonic() - began < 20, "it waited"
        assert f"run {name} is in use by process {first.pid} of " in line
        assert re.search(r"since \d{4}-\d\d-\d\dT", line) and "search --task digits" in line
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    # Who only reads is not kept out, and another run is another run.
    assert lab.document("front", *of_run)["run"] == name
    assert lab.document(*COMMAND, "--run", "other", "--seed", "1")["run"] == "other"
    # A holder that is killed holds nothing.
    first.kill()
    first.communicate()
    assert lab.document(*COMMAND)["run"] == name
    assert lab.document("verify", *of_run)["architectures"]


@pytest.mark.slow
def test_two_searches_that_begin_the_same_run_at_once(lab: Lab, processes: list[Started]) -> None:
    both = [begin(lab, processes, "--run", "mine", "--seed", seed) for seed in "01"]
    deadline = time.monotonic() + 120
    while all(process.poll() is None for process in both) and time.monotonic() < deadline:
        time.sleep(0.02)
    (loser,) = (process for process in both if process.poll() is not None)
    (winner,) = (process for process in both if process is not loser)
    _, errors = loser.communicate()
    # With other settings: whichever came first has the name, and is not overwritten.
    assert loser.returncode in (1, 2) and "run mine" in errors.splitlines()[-1], errors
    (lab.folder / "go").touch()
    _, errors = winner.communicate(timeout=200)
    assert winner.returncode == 0, errors
    run = lab.folder / "home" / "runs" / "mine"
    assert json.loads((run / "config.json").read_text())["seed"] == both.index(winner)


def test_only_the_kernel_says_who_holds_a_folder(tmp_path: Path) -> None:
    """A run that was copied while it was searched brings along what its holder wrote."""
    from harness.core.lock import locked

    (tmp_path / "lock.json").write_text(json.dumps({"pid": os.getpid(), "since": "long ago"}))
    with locked(tmp_path, "the copy"):
        assert json.loads((tmp_path / "lock.json").read_text())["since"] != "long ago"
