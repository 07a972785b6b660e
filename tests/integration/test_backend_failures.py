"""Candidates that do the worst they can: each is a row with its own reason, and the next goes on."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from integration_home import TINY, Home
from onnx import TensorProto, helper, numpy_helper

from harness.cli import main
from harness.export import ArtifactCache, artifact
from harness.export.onnx_graph import to_onnx
from harness.export.tvm.compiler import Compiler
from modnas.spaces import get_space

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
FOREVER = 2**62
DEVICE = """
name: quick
policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5, timeout_s: 4,
         memory_limit_mb: 300}
"""
SEGFAULT = "__attribute__((constructor)) static void crash(void) { *(volatile int *)0 = 1; }\n"


def looping(times: int, step: onnx.NodeProto) -> onnx.ModelProto:
    """A model that applies `step`, from `x` to `y`, so many times to its input."""
    scalar = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("n", INT64), ("go", BOOL))]
    ends = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("x", "y")]
    still = helper.make_node("Identity", ["go"], ["still"])
    going = helper.make_tensor_value_info("still", BOOL, [])
    body = helper.make_graph([still, step], "body", [*scalar, ends[0]], [going, ends[1]])
    constants = [
        helper.make_tensor("times", INT64, [], [times]),
        helper.make_tensor("always", BOOL, [], [True]),
    ]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "always", "input"], ["output"], body=body)],
        "looping",
        [helper.make_tensor_value_info("input", FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("output", FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def never_returning(*_: Any) -> onnx.ModelProto:
    return looping(FOREVER, helper.make_node("Neg", ["x"], ["y"]))


def allocating(*_: Any) -> onnx.ModelProto:
    return looping(FOREVER, helper.make_node("Concat", ["x", "x"], ["y"], axis=0))


def not_a_number(*arguments: Any) -> onnx.ModelProto:
    model = to_onnx(*arguments)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor) * float("nan")
        tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))
    return model


def spoil(writers: Mapping[str, Callable[..., onnx.ModelProto]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Export some cells by other writers."""
    build = artifact.build
    current = {"cell": ""}

    def building(source: Any, architecture: Any) -> Any:
        current["cell"] = architecture.string
        return build(source, architecture)

    monkeypatch.setattr(artifact, "build", building)

    def writing(*arguments: Any) -> onnx.ModelProto:
        return writers.get(current["cell"], to_onnx)(*arguments)

    monkeypatch.setattr(artifact, "to_onnx", writing)


@pytest.mark.slow
def test_four_failures_have_four_reasons_and_the_run_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (home.folder / "devices" / "quick.yaml").write_text(DEVICE)
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    cells = [space.architecture((op, 0, 0, 3, 1, 0)) for op in range(5)]
    names = tmp_path / "cells.txt"

    def profile(chosen: list[Any], *options: str) -> list[dict[str, Any]]:
        names.write_text("\n".join(cell.string for cell in chosen))
        main(["profile", "--device", "quick", "--archs", str(names), *TINY, *options, "--json"])
        measurements: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["measurements"]
        return measurements

    writers = (never_returning, allocating, not_a_number)
    spoil({cell.string: write for cell, write in zip(cells, writers, strict=False)}, monkeypatch)
    found = profile(cells)
    assert [m.get("reason") for m in found] == ["timeout", "memory", "nan", None, None], found
    assert [m["status"] for m in found[3:]] == ["ok", "ok"]

    if shutil.which("cc") is None or importlib.util.find_spec("tvm") is None:
        pytest.skip("no C compiler to build a library that crashes, or no TVM to build one that does not")
    compile_, bad = Compiler.compile, ArtifactCache().get(space, cells[3], 1).path

    def crashing(compiler: Compiler, model: Path, output: Path, *rest: Any) -> dict[str, Any]:
        if model != bad:
            return compile_(compiler, model, output, *rest)
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(output)]
        subprocess.run(command, input=SEGFAULT, text=True, check=True)
        return {"tuned": False}

    monkeypatch.setattr(Compiler, "compile", crashing)
    (crashed,) = profile(cells[3:4], "--backend", "tvm")
    assert crashed["reason"] == "crashed" and "SIGSEGV" in crashed["message"]
