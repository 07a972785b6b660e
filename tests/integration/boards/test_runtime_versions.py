"""Versions of a runtime on a board: chosen, kept, and another one advised where one crashes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boards_loopback import LoopbackBoard
from boards_wheels import make_wheel

CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
Run = Callable[..., str]

pytestmark = pytest.mark.slow


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The board's index: ONNX Runtime in four versions, the newest of which crashes."""
    folder = tmp_path / "index"
    folder.mkdir()
    for release in ("1.16.3", "1.20.1", "1.50.0"):
        make_wheel(folder, "onnxruntime", release)
    make_wheel(folder, "onnxruntime", "1.99.0", code=CRASH)
    for release in ("1.26.4", "9.9.9"):
        make_wheel(folder, "numpy", release)
    return folder


@pytest.fixture
def online(tmp_path: Path, index: Path, can_make_loopback: None) -> Iterator[LoopbackBoard]:
    """A board that installs from there, with a Python that has no runtime."""
    board = LoopbackBoard(tmp_path / "board", f"SetEnv PIP_NO_INDEX=1 PIP_FIND_LINKS={index}\n")
    python = getattr(sys, "_base_executable", sys.executable)
    board.endpoint.write_profile(tmp_path / "home", "online", python=python)
    yield board
    board.stop()


def advised(read: str) -> str:
    """The command in the last line of what was read."""
    match = re.search(r"with: modnas-hw (.*)$", read.strip().splitlines()[-1])
    assert match is not None, read
    return match[1]


def test_a_version_is_chosen_kept_and_given_up(online: LoopbackBoard, run: Run) -> None:
    install = "agent install --device online"
    assert "ONNX Runtime 1.16.3 installed" in run(f"{install} --runtime onnxruntime==1.16.3")
    (numpy,) = (online.directory / "agent").rglob("numpy/__init__.py")
    assert "1.26.4" in numpy.read_text(), "it was built for the numpy before 2"
    assert "1.16.3 was installed already" in run(install)
    assert "1.50.0 installed" in run(f"{install} --runtime onnxruntime==1.50.0")
    assert "1.50.0 (venv)" in run("agent status --device online")
    assert len(list((online.directory / "agent").glob("runtime-onnxruntime-*"))) == 1, "the other one is gone"
    assert "needs no tensorflow" in run(f"{install} --runtime tensorflow==2.0", code=2)
    assert "is no version of a package" in run(f"{install} --runtime 'onnxruntime>1'", code=2)
    assert "1.50.0 was installed already" in run(install), "nothing has come of those"


def test_a_crash_is_answered_with_another_version_that_works(
    online: LoopbackBoard, run: Run, tmp_path: Path
) -> None:
    read = run("agent install --device online", code=3)
    assert "onnxruntime 1.99.0" in read and "SIGILL" in read
    assert not list(online.directory.iterdir()), "nothing is left behind"
    assert "installed" in run(advised(read))
    assert "was installed already" in run("agent install --device online"), "not the one that crashes"


def test_a_runtime_that_crashes_later_is_not_to_be_installed_once_more(
    online: LoopbackBoard, run: Run
) -> None:
    run("agent install --device online --runtime onnxruntime==1.50.0")
    (module,) = (online.directory / "agent").rglob("onnxruntime/__init__.py")
    module.write_text(CRASH)
    read = run("devices check online", code=3)
    assert "SIGILL" in read and advised(read).endswith(
        "install --device online --runtime onnxruntime==1.20.1"
    )
