"""TVM's tensor instructions are there for tuning, and nothing else is changed by how they come."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="TVM is not installed")
PROGRAM = """
import inspect
from harness.export.tvm.intrinsics import load_intrinsics
complete = inspect.stack
load_intrinsics()
assert inspect.stack is complete
from tvm.s_tir import TensorIntrin
from tvm.s_tir.tensor_intrin import arm_cpu, x86
names = [x86.VNNI_DOT_16x4_INTRIN, x86.AVX512_DOT_16x4_INTRIN, arm_cpu.DP4A_S8S8S32_INTRIN]
assert all(TensorIntrin.get(name, allow_missing=True) is not None for name in names), names
"""


@pytest.mark.slow
def test_they_are_registered() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
