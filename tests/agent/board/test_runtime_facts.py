"""What a board says of itself before a runtime is installed there, from recorded and real systems."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from modnas_agent.board.runtime_facts import facts, lacking

#: As /proc/cpuinfo has it on these boards.
RASPBERRY_PI_4 = "fp asimd evtstrm crc32 cpuid"
RASPBERRY_PI_5 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)


def cpuinfo(folder: Path, *cores: str, field: str = "Features") -> Path:
    blocks = [f"processor\t: {n}\nBogoMIPS\t: 108.00\n{field}\t: {core}\n" for n, core in enumerate(cores)]
    (folder / "cpuinfo").write_text("\n".join(blocks))
    return folder


@pytest.mark.parametrize(
    ("cores", "field", "expected"),
    [
        ((RASPBERRY_PI_4,) * 4, "Features", ["atomics", "asimddp"]),
        ((RASPBERRY_PI_5,) * 4, "Features", []),
        ((RASPBERRY_PI_5, RASPBERRY_PI_4), "Features", ["atomics", "asimddp"]),
        (("fpu sse sse2",), "flags", ["atomics", "asimddp"]),
        (("fpu sse sse2",), "bugs", []),
        ((), "Features", []),
    ],
    ids=["Pi 4", "Pi 5", "two kinds of cores", "x86", "no list", "empty"],
)
def test_what_the_cpu_lacks(tmp_path: Path, cores: tuple[str, ...], field: str, expected: list[str]) -> None:
    assert lacking(["atomics", "asimddp"], cpuinfo(tmp_path, *cores, field=field)) == expected


def test_what_the_cpu_lacks_where_nothing_is_said(tmp_path: Path) -> None:
    assert lacking(["atomics"], tmp_path) == []


def ask(folder: Path, code: str, *before: str, agent: Path | None = None) -> dict[str, object]:
    """What the program, started by `before`, answers where a package `onnxruntime` consists of `code`."""
    (folder / "path").mkdir(exist_ok=True)
    (folder / "path/onnxruntime.py").write_text(code)
    questions = {
        "backend": "onnxruntime",
        "folder": str(agent or folder),
        "libraries": ["libc.so.6", "libnothing.so.9"],
        "flags": [],
        "packages": ["numpy", "no-such-package"],
    }
    path = (
        f"{folder / 'path'}:{os.environ['PYTHONPATH']}"
        if "PYTHONPATH" in os.environ
        else str(folder / "path")
    )
    done = subprocess.run(
        [*before, sys.executable, "-m", "modnas_agent.board.runtime_facts", json.dumps(questions)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_runtime_that_works(tmp_path: Path) -> None:
    found = ask(tmp_path, "print('welcome')\n__version__ = '1.2.3'")
    assert (found["runtime"], found["reason"], found["signal"]) == ("1.2.3", None, None)
    assert found["missing"] == ["libnothing.so.9"] and found["bits"] == 64 and found["noexec"] is None
    versions = found["versions"]
    assert isinstance(versions, dict) and set(versions) == {"numpy"}


@pytest.mark.parametrize(
    ("code", "signal", "reason"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)", "SIGILL", "ended with SIGILL"),
        ("raise RuntimeError('built for another machine')", None, "RuntimeError: built for another machine"),
        ("import os, sys\nprint('no licence', file=sys.stderr)\nos._exit(3)", None, "no licence"),
    ],
    ids=["crash", "error", "end"],
)
def test_a_runtime_that_does_not(tmp_path: Path, code: str, signal: str | None, reason: str) -> None:
    found = ask(tmp_path, code)
    assert found["runtime"] is None and found["signal"] == signal
    assert isinstance(found["reason"], str) and reason in found["reason"]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root and unshare"
)
def test_a_folder_from_which_nothing_may_be_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = f'mount -t tmpfs -o noexec none {home} && mkdir {home}/agent && exec "$@"'
    before = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh")
    assert ask(tmp_path, "__version__ = '1'", *before, agent=home / "agent")["noexec"] == str(home)


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    questions = {"backend": "nothing", "folder": str(tmp_path), "libraries": [], "flags": [], "packages": []}
    assert facts(questions)["noexec"] is None
    assert not list(tmp_path.iterdir())
    assert facts({**questions, "folder": str(tmp_path / "absent")})["noexec"] is None
