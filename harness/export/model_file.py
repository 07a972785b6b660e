"""ONNX files that somebody else wrote: checked against what their source says of them, and run once here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper
from torch import Tensor

from harness.export.probe import probe
from modnas.core.bounded import TooLargeError, check_file
from modnas.core.errors import ExportError
from modnas.core.inputs import InputSpec

# Bytes; no ONNX file with its weights inside can have more.
_LARGEST = (1 << 31) - 1


def read_model(path: Path, inputs: Sequence[InputSpec], form: str) -> tuple[bytes, Tensor]:
    """An ONNX file's content, and its first output in ONNX Runtime on this CPU.

    Args:
        inputs: what it is to take, shapes with the batch dimension.
        form: the form that is wanted (see `harness.export.artifact.FORMS`).

    Raises:
        ExportError: the file cannot be read, is not in the wanted form, has its weights elsewhere, takes
            other inputs, or its output says nothing.
    """
    if form != "onnx":
        raise ExportError(f"{path} is an ONNX file, which this backend does not run; take onnxruntime or tvm")
    try:
        check_file(path, _LARGEST)
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
    except (OSError, TooLargeError, DecodeError) as error:
        raise ExportError(f"{path} cannot be read as ONNX: {error}") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ExportError(f"{path} has its weights in other files; save it with them inside")
    _check_inputs(path, model.graph, inputs)
    feed = {spec.name: tensor.numpy() for spec, tensor in zip(inputs, probe(inputs), strict=True)}
    output = _run(path, data, feed)
    if not bool(output.isfinite().all()):
        raise ExportError(f"{path}: its output in ONNX Runtime is not finite")
    return data, output


def _run(path: Path, data: bytes, feed: dict[str, Any]) -> Tensor:
    import onnxruntime  # a runtime, which is loaded only where one runs

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, feed)[0])
    except Exception as error:  # ONNX Runtime's kinds have no base of their own
        raise ExportError(f"{path}: ONNX Runtime cannot run it: {' '.join(str(error).split())}") from error


def _check_inputs(path: Path, graph: onnx.GraphProto, inputs: Sequence[InputSpec]) -> None:
    """Raise ExportError where the graph takes something else."""
    weights = {tensor.name for tensor in graph.initializer}
    taken = {value.name: value.type.tensor_type for value in graph.input if value.name not in weights}
    if [*taken] != [spec.name for spec in inputs]:  # TVM takes them by their order
        told = ", ".join(spec.name for spec in inputs)
        raise ExportError(f"{path} takes {', '.join(taken) or 'nothing'}; its source says {told}")
    for spec in inputs:
        kind = taken[spec.name]
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
        fits = len(sizes) == len(spec.shape) and all(
            size in (None, wanted) for size, wanted in zip(sizes, spec.shape, strict=True)
        )
        if dtype != np.dtype(spec.dtype) or not fits:
            shape = "x".join("?" if size is None else str(size) for size in sizes)
            wanted = "x".join(map(str, spec.shape))
            raise ExportError(
                f"{path}: input {spec.name} is {dtype} {shape}; what is measured is {spec.dtype} {wanted}"
            )
