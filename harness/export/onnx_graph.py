"""PyTorch module -> ONNX model by walking its torch.fx graph.

The exporters that come with PyTorch take 0.1 to 4 seconds a network, longer than measuring it. The networks
of a search space use a dozen layer types, so one function a layer type writes the same graph in a few
milliseconds. A layer without a function raises ExportError: nothing is approximated.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import fx, nn

from modnas.core.errors import ExportError
from modnas.core.graphs import make_model
from modnas.core.inputs import InputSpec


class _Graph:
    """Nodes and initialisers collected while walking a module."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: torch.Tensor | npt.NDArray[Any]) -> str:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name


def _pair(value: int | tuple[int, ...] | str) -> list[int]:
    if isinstance(value, str):
        raise ExportError(f"padding {value!r} cannot be exported; give it as numbers")
    return [value, value] if isinstance(value, int) else list(value)


def _conv(graph: _Graph, layer: nn.Conv2d, x: str, name: str) -> str:
    if layer.padding_mode != "zeros":
        raise ExportError(f"{name} pads with mode {layer.padding_mode}; only zeros are exported")
    inputs = [x, graph.constant(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(graph.constant(f"{name}.bias", layer.bias))
    return graph.add(
        "Conv",
        inputs,
        name,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=_pair(layer.padding) * 2,
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _batch_norm(graph: _Graph, layer: nn.BatchNorm2d, x: str, name: str) -> str:
    if layer.running_mean is None or layer.running_var is None:
        raise ExportError(f"{name} keeps no running statistics; recalibrate the network before exporting")
    ones = torch.ones(layer.num_features)
    parts = {
        "scale": ones if layer.weight is None else layer.weight,
        "bias": torch.zeros(layer.num_features) if layer.bias is None else layer.bias,
        "mean": layer.running_mean,
        "var": layer.running_var,
    }
    inputs = [x, *(graph.constant(f"{name}.{key}", value) for key, value in parts.items())]
    return graph.add("BatchNormalization", inputs, name, epsilon=layer.eps)


def _linear(graph: _Graph, layer: nn.Linear, x: str, name: str) -> str:
    inputs = [x, graph.constant(f"{name}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(graph.constant(f"{name}.bias", layer.bias))
    return graph.add("Gemm", inputs, name, transB=1)


def _embedding(graph: _Graph, layer: nn.Embedding, x: str, name: str) -> str:
    if layer.max_norm is not None:
        raise ExportError(f"{name} renormalises its rows when they are looked up, which is not exported")
    return graph.add("Gather", [graph.constant(f"{name}.weight", layer.weight), x], name, axis=0)


def _avg_pool(graph: _Graph, layer: nn.AvgPool2d, x: str, name: str) -> str:
    if layer.ceil_mode or layer.divisor_override:
        raise ExportError(f"{name} uses ceil_mode or divisor_override, which are not exported")
    return graph.add(
        "AveragePool",
        [x],
        name,
        kernel_shape=_pair(layer.kernel_size),
        strides=_pair(layer.stride),
        pads=_pair(layer.padding) * 2,
        count_include_pad=int(layer.count_include_pad),
    )


def _flatten(graph: _Graph, layer: nn.Flatten, x: str, name: str) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):  # ONNX's Flatten always gives a matrix
        raise ExportError(
            f"{name} flattens dimensions {layer.start_dim} to {layer.end_dim}, not 1 to the last"
        )
    return graph.add("Flatten", [x], name, axis=1)


def _adaptive_pool(graph: _Graph, layer: nn.AdaptiveAvgPool2d, x: str, name: str) -> str:
    if layer.output_size not in (1, (1, 1)):
        raise ExportError(f"{name} pools to {layer.output_size}; only a global average is exported")
    return graph.add("GlobalAveragePool", [x], name)


# Of nn.Hardsigmoid and nn.Hardswish: max(0, min(1, x / 6 + 1 / 2)).
_HARD_SIGMOID = {"alpha": 1 / 6, "beta": 0.5}


def _hard_swish(graph: _Graph, _layer: nn.Hardswish, x: str, name: str) -> str:
    # Not ONNX's HardSwish, which few runtimes have a kernel for.
    gate = graph.add("HardSigmoid", [x], f"{name}.gate", **_HARD_SIGMOID)
    return graph.add("Mul", [x, gate], name)


_LAYERS: dict[type[nn.Module], Callable[[_Graph, Any, str, str], str]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.Hardsigmoid: lambda graph, _, x, name: graph.add("HardSigmoid", [x], name, **_HARD_SIGMOID),
    nn.Hardswish: _hard_swish,
    nn.ReLU: lambda graph, _, x, name: graph.add("Relu", [x], name),
    nn.Flatten: _flatten,
    nn.Embedding: _embedding,
    nn.Identity: lambda _graph, _layer, x, _name: x,
}

_BINARY = {operator.add: "Add", operator.mul: "Mul"}


def _walk(network: nn.Module, graph: _Graph, sources: Sequence[str]) -> str:
    """Write every operation of `network` into `graph`; the name of the value it returns."""
    try:
        # Only the graph: a module made of it would be compiled for nothing.
        traced = fx.Tracer().trace(network)
    except (OSError, MemoryError):  # not the network's fault
        raise
    except Exception as error:  # whatever a network's own code raises when it is given a proxy
        raise ExportError(f"torch.fx cannot trace the network: {error}") from error
    layers = dict(network.named_modules())
    names: dict[fx.Node, str] = {}
    given = iter(sources)

    def value(argument: Any, owner: str, position: int) -> str:
        if isinstance(argument, fx.Node):
            return names[argument]
        return graph.constant(f"{owner}.constant{position}", np.asarray(argument, dtype=np.float32))

    for node in traced.nodes:
        name = f"node.{node.name}"  # a layer may be called `input` or `output`
        if node.op == "placeholder":
            source = next(given, None)
            if source is None:
                raise ExportError(f"the network takes more than its {len(sources)} inputs: {node.target}")
            names[node] = source
        elif node.op == "call_module":
            layer = layers[node.target]
            write = _LAYERS.get(type(layer))
            if write is None:
                raise ExportError(f"no ONNX writer for layer {type(layer).__name__} ({node.target})")
            names[node] = write(graph, layer, names[node.args[0]], name)
        elif node.op == "call_function" and node.target in _BINARY:
            inputs = [value(argument, name, n) for n, argument in enumerate(node.args)]
            names[node] = graph.add(_BINARY[node.target], inputs, name)
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise ExportError("the network returns something other than one tensor")
            return names[node.args[0]]
        else:
            raise ExportError(f"no ONNX writer for operation {node.op} {node.target}")
    raise ExportError("the network returns nothing")


def to_onnx(network: nn.Module, inputs: Sequence[InputSpec], output_shape: Sequence[int]) -> onnx.ModelProto:
    """ONNX model of a network in evaluation mode, with an output `output` of float32.

    Args:
        network: traceable by torch.fx; its layers must be among those with a writer in this file. It takes
            the inputs in their order.
        inputs: shapes with the batch dimension; the model's are fixed to them.
        output_shape: also with the batch dimension.

    Raises:
        ExportError: a layer or operation without a writer.
    """
    graph = _Graph()
    result = _walk(network.eval(), graph, [spec.name for spec in inputs])
    graph.add("Identity", [result], "output")
    given = [(spec.name, spec.dtype, spec.shape) for spec in inputs]
    return make_model(graph.nodes, given, [("output", "float32", list(output_shape))], graph.initializers)
