"""A compiled library in a process that has TVM's runtime alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

RUN_ALONE = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tvm", "torch", "onnx"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from pathlib import Path
from modnas_agent.backends import load_backend
from modnas_agent.wire.request import InputSpec
shape = tuple(int(size) for size in sys.argv[2].split(","))
runner = load_backend("tvm").load(Path(sys.argv[1]), [InputSpec("input", shape, "float32")], {"threads": 1})
runner.run()
print(*runner.outputs()[0].ravel())
"""


def run_alone(library: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Output of a library in a process that cannot import TVM's package."""
    command = [sys.executable, "-c", RUN_ALONE, str(library), ",".join(map(str, shape))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return np.array([float(value) for value in done.stdout.split()])
