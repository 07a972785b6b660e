"""ONNX file -> shared library, with TVM's Relax. Imported by the worker process only."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx
from tvm.s_tir import meta_schedule
from tvm.support import cc

from harness.core.errors import DeviceUnavailableError

Target = dict[str, Any]

# What makes two operators one task: the heaviest loop nest. What is fused to it differs from cell to cell.
EQUALITY = "anchor-block"


def host_target() -> Target:
    """This machine as LLVM knows it: the CPU's name implies its vector width."""
    return {"kind": "llvm", "mcpu": str(tvm.target.codegen.llvm_get_system_cpu())}


def vector_bits(target: Target) -> int:
    """Width of the vectors LLVM uses for a target, in bits."""
    return int(tvm.target.codegen.llvm_get_vector_width(tvm.target.Target(target)))


def _simplified(path: Path) -> Any:
    """The model with constants folded and batch normalisation merged into convolutions.

    ONNX Runtime's basic optimisations stay within standard ONNX; Relax can do the same, but compiles a
    function for every constant it folds.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        # From memory: weights in a file beside the model would stay there, unknown to the copy.
        content = onnx.load(str(path)).SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def lower(path: Path, target: Target) -> Any:
    """Relax module whose operators are fused and written as loops, not yet scheduled."""
    module = from_onnx(_simplified(path), keep_params_in_input=False)
    transform = relax.transform
    passes = [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        transform.FoldConstant(),
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
    ]
    with tvm.target.Target(target):
        return tvm.transform.Sequential(passes)(module)


def _operators(module: Any) -> list[Any]:
    return [function for _, function in module.functions_items() if isinstance(function, tvm.tirx.PrimFunc)]


def link(module: Any, path: Path, target: Target) -> None:
    """Write a compiled module as a shared library for the target's system.

    Raises DeviceUnavailableError when there is no linker for it on this machine.
    """
    compiler = linker(target)
    if shutil.which(compiler) is None:
        raise DeviceUnavailableError(
            f"no {compiler} on this machine to link the library with; install that compiler"
        )
    module.export_library(str(path), fcompile=cc.cross_compiler(compiler))


def linker(target: Target) -> str:
    """Compiler that links for a target: the machine's own, or the one Debian names after the target."""
    triple = target.get("mtriple")
    if triple is None or str(triple).split("-")[0] == os.uname().machine:
        return "cc"
    return f"{triple}-gcc"


def compile_library(path: Path, output: Path, target: Target, database: Path | None) -> dict[str, Any]:
    """Compile an ONNX file with the schedules a tuning database has for its operators.

    Returns:
        `operators`: how many the network has; `tuned_operators`: for how many there was a schedule.
    """
    module = lower(path, target)
    operators = _operators(module)
    if database is not None:
        schedules = meta_schedule.database.JSONDatabase(
            work_dir=str(database), allow_missing=False, module_equality=EQUALITY
        )
        with tvm.target.Target(target), schedules:
            module = relax.transform.MetaScheduleApplyDatabase()(module)
    tuned = sum("tirx.is_scheduled" in (function.attrs or {}) for function in _operators(module))
    link(tvm.compile(module, tvm.target.Target(target)), output, target)
    return {"operators": len(operators), "tuned_operators": tuned, "vector_bits": vector_bits(target)}
