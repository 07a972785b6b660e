"""PyTorch through a real agent: a saved program, its output, and where it comes from."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_process import QUICK, AgentProcess, Frame, write_artifact
from modnas_agent.wire.fill import fill_values
from torch import nn

from harness.export import ExportError
from harness.export.torch_program import to_program

SHAPE = (1, 3, 16, 16)


class Network(nn.Module):
    """Two layers, and an operator that takes its logarithm when asked to."""

    def __init__(self, log: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.log = log

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x).mean((2, 3))
        return (x - 100).log() if self.log else x


def probe() -> torch.Tensor:
    return torch.from_numpy(fill_values(int(np.prod(SHAPE)))).reshape(SHAPE)


def request(folder: Path, id_: str, network: nn.Module, expected: Any = None, **options: Any) -> Frame:
    return {
        "op": "measure",
        "id": id_,
        "artifact": write_artifact(folder, to_program(network, probe())),
        "backend": {"name": "torch", "options": {"threads": 1, "affinity": "auto", **options}},
        "inputs": [{"name": "input", "shape": list(SHAPE), "dtype": "float32"}],
        "expected": expected,
        "tolerance": 1e-3,
        "protocol": QUICK,
    }


def outputs(network: nn.Module) -> list[float]:
    with torch.inference_mode():
        return [float(value) for value in network.eval()(probe()).flatten()]


@pytest.mark.slow
def test_a_program_is_measured_and_its_output_agrees(shared_agent: AgentProcess, tmp_path: Path) -> None:
    result = shared_agent.measure(request(tmp_path, "ok", Network(), outputs(Network())))
    assert result["status"] == "ok", result
    assert result["max_abs_diff"] <= 1e-6
    assert 0 < result["latency"]["median_ms"] < 100
    assert result["runtime"] == {"name": "torch", "version": torch.__version__}


def test_other_outputs_and_nan_are_told_apart(shared_agent: AgentProcess, tmp_path: Path) -> None:
    wrong = [value + 1 for value in outputs(Network())]
    assert shared_agent.measure(request(tmp_path, "wrong", Network(), wrong))["reason"] == "mismatch"
    assert shared_agent.measure(request(tmp_path, "nan", Network(log=True)))["reason"] == "nan"


def test_a_file_that_is_no_program_is_an_error_of_the_runtime(
    shared_agent: AgentProcess, tmp_path: Path
) -> None:
    asked = request(tmp_path, "garbage", Network()) | {"artifact": write_artifact(tmp_path, b"garbage")}
    assert shared_agent.measure(asked)["reason"] == "runtime"


@pytest.mark.slow
def test_the_compiled_program_agrees(shared_agent: AgentProcess, tmp_path: Path) -> None:
    asked = request(tmp_path, "compiled", Network(), outputs(Network()), compile=True)
    asked["protocol"] = {**QUICK, "timeout_s": 120}
    shared_agent.send(**asked)
    result = shared_agent.wait_for("result", timeout_s=150)
    assert result["status"] == "ok", result
    assert result["max_abs_diff"] <= 1e-5


def test_the_file_holds_no_python() -> None:
    with zipfile.ZipFile(io.BytesIO(to_program(Network(), probe()))) as archive:
        names = archive.namelist()
    assert any(name.endswith(".json") for name in names)
    assert not [name for name in names if name.endswith(".py") or "/code/" in name]


def test_a_network_that_cannot_be_traced_says_so() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match=r"torch\.export cannot export"):
        to_program(Branching(), probe())
