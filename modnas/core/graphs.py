"""ONNX models as the project writes them: their version, and a model from its nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

OPSET = 17
# The lowest IR version that opset 17 allows: old runtimes on boards can still read the file.
IR_VERSION = 8

# A value of a graph: name, NumPy's name of its type, shape.
Value = tuple[str, str, Sequence[int | str]]


def value_info(value: Value) -> onnx.ValueInfoProto:
    """A graph's input or output."""
    name, dtype, shape = value
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: Sequence[onnx.TensorProto],
) -> onnx.ModelProto:
    """The model of a graph whose nodes are in the order of execution."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [value_info(value) for value in inputs],
        [value_info(value) for value in outputs],
        list(constants),
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="modnas-hw",
    )
