"""ONNX Runtime through a real agent: figures, the output check, and what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from agent_process import QUICK, AgentProcess, Frame, descendants, write_artifact
from modnas_agent.wire.fill import fill_values
from onnx import TensorProto, helper, numpy_helper

SHAPE = [1, 3, 32, 32]


def convnet(channels: int = 16, operator: str = "Relu") -> bytes:
    """A small network: one convolution, `operator`, global average."""
    weights = np.linspace(-0.2, 0.3, channels * 27, dtype=np.float32).reshape(channels, 3, 3, 3)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, channels, 1, 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def request(folder: Path, id_: str, model: bytes, expected: Any = None, **options: Any) -> Frame:
    return {
        "op": "measure",
        "id": id_,
        "artifact": write_artifact(folder, model),
        "backend": {"name": "onnxruntime", "options": {"threads": 1, "affinity": "auto", **options}},
        "inputs": [{"name": "input", "shape": SHAPE, "dtype": "float32"}],
        "expected": expected,
        "tolerance": 1e-3,
        "protocol": {**QUICK, "memory_limit_mb": 2048},
    }


def reference(model: bytes) -> list[float]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    values = fill_values(int(np.prod(SHAPE))).reshape(SHAPE)
    return [float(value) for value in session.run(None, {"input": values})[0].ravel()]


def test_inputs_are_the_documented_formula() -> None:
    expected = [np.float32(((i * 2654435761) % 2**32) / 2**31 - 1) for i in range(5000)]
    assert fill_values(5000).tolist() == expected
    assert fill_values(5000).dtype == np.float32
    assert fill_values(4, "int64").tolist() == [(i * 2654435761) % 2**32 % 100 for i in range(4)]
    assert set(fill_values(100, "bool").tolist()) == {True, False}


def test_inputs_keep_to_their_limits() -> None:
    tokens = fill_values(5000, "int64", (1, 59))
    assert tokens.dtype == np.int64 and set(tokens.tolist()) == set(range(1, 60))
    assert tokens[:4].tolist() == [1 + (i * 2654435761) % 2**32 % 59 for i in range(4)]
    assert set(fill_values(5000, "int8", (-128, 127)).tolist()) == set(range(-128, 128))
    pixels = fill_values(5000, "float32", (0.0, 255.0))
    assert pixels.min() == 0 and 254 < pixels.max() <= 255
    assert fill_values(5000, "float32", (-1.0, 1.0)).tolist() == fill_values(5000).tolist()


def test_a_network_is_measured_and_its_output_agrees(agent: AgentProcess, tmp_path: Path) -> None:
    model = convnet()
    result = agent.measure(request(tmp_path, "m", model, reference(model)))
    assert result["status"] == "ok"
    assert result["max_abs_diff"] <= 1e-5
    assert result["runtime"] == {"name": "onnxruntime", "version": onnxruntime.__version__}
    assert result["memory_delta_mb"] < 500


@pytest.mark.exclusive
def test_the_figure_is_what_a_plain_loop_sees(agent: AgentProcess, tmp_path: Path) -> None:
    model = convnet(64)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"input": fill_values(int(np.prod(SHAPE))).reshape(SHAPE)}
    ratios = []
    for attempt in range(4):  # other processes share the machine
        durations = []
        for _ in range(400):
            start = time.perf_counter_ns()
            session.run(None, feed)
            durations.append(time.perf_counter_ns() - start)
        plain_ms = float(np.median(durations[100:])) / 1e6
        measured = agent.measure(request(tmp_path, f"{attempt}", model))["latency"]["median_ms"]
        ratios.append(measured / plain_ms)
        if abs(ratios[-1] - 1) < 0.05:
            break
    assert min(abs(ratio - 1) for ratio in ratios) < 0.05, ratios


@pytest.mark.exclusive
def test_a_measurement_costs_little_beyond_measuring(
    start_agent: Callable[..., AgentProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):  # a traced agent is slower
        monkeypatch.delenv(variable, raising=False)
    agent = start_agent()
    model = convnet()
    overheads = []
    for attempt in range(6):
        start = time.perf_counter()
        result = agent.measure(request(tmp_path, f"{attempt}", model))
        overheads.append(time.perf_counter() - start - result["measure_s"])
    assert min(overheads) < 0.06, overheads


def test_two_threads_run_on_two_cpus(agent: AgentProcess, tmp_path: Path) -> None:
    result = agent.measure(request(tmp_path, "m", convnet(), threads=2))
    assert result["status"] == "ok" and result["applied"]["threads"] == 2


def test_wrong_output_nan_and_broken_files_have_their_reasons(agent: AgentProcess, tmp_path: Path) -> None:
    model = convnet()
    off = [value + 0.5 for value in reference(model)]
    mismatch = agent.measure(request(tmp_path, "a", model, off))
    assert mismatch["reason"] == "mismatch" and "0.5" in mismatch["message"]
    short = agent.measure(request(tmp_path, "b", model, off[:3]))
    assert short["reason"] == "mismatch" and "16 values" in short["message"]
    assert agent.measure(request(tmp_path, "c", convnet(operator="Log")))["reason"] == "nan"
    broken = agent.measure(request(tmp_path, "d", b"not a network"))
    assert broken["reason"] == "runtime" and "\n" not in broken["message"]
    altered = request(tmp_path, "e", model)
    altered["artifact"]["sha256"] = "0" * 64
    answer = agent.measure(altered)
    assert (answer["event"], answer["reason"]) == ("result", "artifact")


def test_a_network_over_the_memory_limit_fails_as_such(agent: AgentProcess, tmp_path: Path) -> None:
    big = request(tmp_path, "m", convnet(8192))
    big["protocol"]["memory_limit_mb"] = 16
    assert agent.measure(big)["reason"] == "memory"
    assert agent.measure(request(tmp_path, "n", convnet()))["status"] == "ok"


def test_an_absent_provider_is_named_with_those_there_are(agent: AgentProcess, tmp_path: Path) -> None:
    answer = agent.measure(request(tmp_path, "m", convnet(), provider="AbsentExecutionProvider"))
    assert (answer["event"], answer["reason"]) == ("error", "environment")
    assert "CPUExecutionProvider" in answer["message"]
    answer = agent.measure(request(tmp_path, "n", convnet(), graph_optimization="extreme"))
    assert answer["event"] == "error" and "extended" in answer["message"]


def test_the_process_that_is_forked_has_no_threads(agent: AgentProcess, tmp_path: Path) -> None:
    assert agent.measure(request(tmp_path, "m", convnet()))["status"] == "ok"
    zygote = descendants(agent.process.pid)[0]
    assert len(list(Path(f"/proc/{zygote}/task").iterdir())) == 1


def test_probe_tells_version_and_providers(agent: AgentProcess) -> None:
    agent.send(op="probe", id="p", backend="onnxruntime")
    found = agent.receive()
    assert found["event"] == "probe" and found["version"] == onnxruntime.__version__
    assert "CPUExecutionProvider" in found["providers"]
    agent.send(op="probe", id="q", backend="abacus")
    assert agent.receive()["reason"] == "runtime"
