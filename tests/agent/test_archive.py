"""The one-file archive runs with nothing but an interpreter, old ones included."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import modnas_agent
import pytest
from agent_process import AgentProcess, synthetic_request


def python38() -> str | None:
    """A Python 3.8, if there is one."""
    candidates = sorted((Path.home() / ".pyenv" / "versions").glob("3.8*/bin/python3.8"))
    for found in [*map(str, candidates), shutil.which("python3.8")]:
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    return None


INTERPRETERS = [
    pytest.param(sys.executable, id="this"),
    pytest.param(
        python38(), id="3.8", marks=pytest.mark.skipif(python38() is None, reason="no Python 3.8 found")
    ),
]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_hello_needs_only_the_standard_library(archive: Path, interpreter: str) -> None:
    done = subprocess.run(
        [interpreter, "-I", "-S", "-W", "error", str(archive), "hello"],
        capture_output=True,
        check=True,
        cwd="/",
    )
    assert done.stderr == b""
    frame = json.loads(done.stdout)
    assert (frame["event"], frame["protocol"]) == ("hello", 1)
    assert frame["agent_version"] == modnas_agent.__version__, "the version must not depend on the packaging"
    inventory = frame["inventory"]
    assert inventory["cpu"]["logical"] >= 1 and inventory["memory_mb"] > 0
    assert inventory["runtimes"]["onnxruntime"] is None, "site-packages are out of reach under -S"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_measuring_works_from_the_archive(
    start_agent: Callable[..., AgentProcess], tmp_path: Path, archive: Path, interpreter: str
) -> None:
    agent = start_agent(tmp_path / "root", [interpreter, str(archive)])
    # Old interpreters may lack numpy, which outputs need: a crash shows that the worker came to running.
    request = synthetic_request(tmp_path, "m", {"kind": "segfault"})
    assert agent.measure(request)["reason"] == "crashed"


def test_no_fork_and_wrong_usage_are_told_on_stderr(archive: Path) -> None:
    done = subprocess.run([sys.executable, str(archive), "serve"], capture_output=True, check=False)
    assert done.returncode == 2 and b"--root" in done.stderr and done.stdout == b""
