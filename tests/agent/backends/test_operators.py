"""Time per kind of operator: the table, and that it does not touch the latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from agent_process import QUICK, AgentProcess, Frame, synthetic_request, write_artifact
from modnas_agent.backends.onnxruntime import PROFILE_RUNS, PROFILE_WARMUP, sum_operators
from onnx import TensorProto, helper

SHAPE = [1, 4, 16, 16]


def event(name: str, op: str, dur: int) -> dict[str, Any]:
    return {"name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": op}}


def test_times_are_means_over_the_runs_after_warming_up() -> None:
    slow = [event("a", "Conv", 900), event("b", "Conv", 900), event("c", "Relu", 900)]
    usual = [event("a", "Conv", 10), event("b", "Conv", 20), event("c", "Relu", 3)]
    other = [{"name": "model_run", "dur": 5000, "args": {}}]
    found = sum_operators([*other, *slow * PROFILE_WARMUP, *usual * PROFILE_RUNS])
    assert found == [
        {"op": "Conv", "count": 2, "ms": pytest.approx(0.030)},
        {"op": "Relu", "count": 1, "ms": pytest.approx(0.003)},
    ]


def test_a_profile_without_operators_is_an_empty_table() -> None:
    assert sum_operators([]) == []


def request(folder: Path, id_: str) -> Frame:
    nodes = [
        helper.make_node("Sin", ["input"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=1),
        helper.make_node("Sin", ["b"], ["output"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("input", "output")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return {
        "op": "measure",
        "id": id_,
        "artifact": write_artifact(folder, model.SerializeToString()),
        "backend": {"name": "onnxruntime", "options": {"threads": 1}},
        "inputs": [{"name": "input", "shape": SHAPE, "dtype": "float32"}],
        "protocol": QUICK,
    }


def test_the_table_is_there_when_asked_for(shared_agent: AgentProcess, tmp_path: Path) -> None:
    asked = request(tmp_path, "asked")
    assert "per_op" not in shared_agent.measure(asked)
    result = shared_agent.measure({**asked, "id": "again", "per_op": True})
    counts = {entry["op"]: entry["count"] for entry in result["per_op"]}
    assert counts == {"Sin": 2, "Softmax": 1}
    assert all(0 < entry["ms"] < 100 for entry in result["per_op"])


def test_a_backend_that_cannot_tell_has_no_table(shared_agent: AgentProcess, tmp_path: Path) -> None:
    asked = synthetic_request(tmp_path, "spin", {"kind": "spin", "latency_ms": 0.1})
    result = shared_agent.measure({**asked, "per_op": True})
    assert result["status"] == "ok" and result["per_op"] is None


def test_anything_but_a_flag_is_refused(shared_agent: AgentProcess, tmp_path: Path) -> None:
    refused = shared_agent.measure({**request(tmp_path, "flag"), "per_op": "yes"})
    assert refused["event"] == "error" and "per_op" in refused["message"]
