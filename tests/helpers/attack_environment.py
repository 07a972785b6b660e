"""Ways in which a machine fails its networks: a runtime that is broken on purpose, disks that are full."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration_home import TINY

from harness.cli import main
from harness.store import Measurement, Store
from modnas.spaces import get_space

DEVICE = """
name: shaky
policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5, timeout_s: 1.5}
"""
#: Stands before ONNX Runtime on the agent's path: gives the real one, changed.
FAKE_RUNTIME = """
import os, signal, sys, time
from pathlib import Path
HERE = str(Path(__file__).parent)
sys.path = [folder for folder in sys.path if folder != HERE]
del sys.modules["onnxruntime"]
import onnxruntime
REAL = onnxruntime.InferenceSession

class Session:
    '''A session whose parts can be replaced.'''

    def __init__(self, *arguments, **options):
        self.path = arguments[0]
        self.real = REAL(*arguments, **options)

    def __getattr__(self, name):
        return getattr(self.real, name)

    def run(self, names, feed):
        return self.real.run(names, feed)

    @property
    def uses(self):
        '''How many sessions there were, this one included, in whatever process.'''
        path = Path(HERE, "uses")
        path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))
        return int(path.read_text())

onnxruntime.InferenceSession = Session
"""


def write_device(home: Path, **fields: Any) -> None:
    """Write the profile `shaky`; YAML takes JSON."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    (home / "devices" / "shaky.yaml").write_text("\n".join([DEVICE, *lines]))


def break_runtime(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have agents started from now on import an ONNX Runtime that `body` was done to."""
    folder.mkdir(exist_ok=True)
    (folder / "onnxruntime.py").write_text(FAKE_RUNTIME + body)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def command(archs: int = 2) -> list[str]:
    """The command that measures."""
    return ["profile", "--device", "shaky", "--archs", str(archs), *TINY]


def rows() -> list[Measurement]:
    """The newest rows of the device, of networks of the size that `TINY` gives."""
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    with Store() as store:
        return store.device_measurements("shaky", space.name, space.variant)


def assert_refused(capsys: pytest.CaptureFixture[str], *says: str, archs: int = 2) -> str:
    """The run ends with exit 3 and one line that says why, and nothing is stored."""
    capsys.readouterr()
    before = len(rows())
    code = main(command(archs))
    output = capsys.readouterr()
    assert code == 3, output.err
    lines = [line for line in output.err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), output.err
    assert all(text in lines[0] for text in says), lines[0]
    assert len(rows()) == before and output.out == ""
    return lines[0]


def assert_measures(capsys: pytest.CaptureFixture[str], measured: int = 2, archs: int = 2) -> None:
    """A normal run measures everything that is not stored, and finds no failure."""
    capsys.readouterr()
    assert main([*command(archs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["measured"], found["failed"]) == (measured, 0)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `folder`; skips the test where one cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
