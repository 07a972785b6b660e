"""ONNX models of a transformer: what is timed, and for an application its whole greedy decoding.

A decoding is one graph: the encoder, then an ONNX Loop around the decoder step. The weights lie outside of
the loop, so that the file holds them once and a runtime prepares them once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from modnas.core.errors import ExportError
from modnas.core.graphs import Value, make_model, value_info
from modnas.core.inputs import InputSpec
from modnas.spaces.transformer.decoding import BEGIN, END, TimedTranslation
from modnas.spaces.transformer.export_nodes import Ops, Step, Writer
from modnas.spaces.transformer.network import TransformerNetwork

_INT, _FLOAT, _BOOL = "int64", "float32", "bool"


def _cache_values(writer: Writer, prefix: str, length: str) -> list[Value]:
    return [
        (f"{prefix}_{what}{n}", _FLOAT, shape)
        for n in range(writer.plan.depth)
        for what, shape in zip(("keys", "values"), writer.cache_shape(n, "batch", length), strict=True)
    ]


def _layers(writer: Writer, cache: Sequence[str], memory: Sequence[str]) -> list[Step]:
    return [
        Step((cache[2 * n], cache[2 * n + 1]), (memory[3 * n], memory[3 * n + 1], memory[3 * n + 2]))
        for n in range(writer.plan.depth)
    ]


# Given the body's nodes, the iteration and the states: the tokens of this step.
_Tokens = Callable[[Ops, str, Sequence[str]], str]
# Given the body's nodes, the scores and the states: whether to go on, the next states, what is collected.
_After = Callable[[Ops, str, Sequence[str]], tuple[str, Sequence[str], str]]


def _decoding(
    writer: Writer,
    ops: Ops,
    source: str,
    count: str,
    *,
    tokens: _Tokens,
    after: _After,
    states: Sequence[tuple[str, Value]] = (),
) -> str:
    """Encode `source` and loop `count` times over the decoder step; what was collected, (steps, batch).

    `states`: further values that go from step to step, the first one's name and what they are in the body.
    """
    memory = [part for parts in writer.encode(ops, source) for part in parts]
    table = writer.output_table(ops)
    batch = ops("Slice", ops("Shape", source), ops.ints(0), ops.ints(1))
    caches = _cache_values(writer, "cache", "past")
    empty = []
    for n in range(writer.plan.depth):
        for shape in writer.cache_shape(n, 0, 0):
            rest = ops.ints(*(int(size) for size in shape[1:]))
            empty.append(ops("ConstantOfShape", ops("Concat", batch, rest, axis=0)))
    body = Ops(ops)
    names = [name for _, (name, _, _) in states]
    layers = _layers(writer, [name for name, _, _ in caches], memory)
    position = body("Unsqueeze", "iteration", ops.ints(0))
    scores, longer = writer.step(body, tokens(body, "iteration", names), position, table, layers)
    go_on, following, collected = after(body, scores, names)
    # Outputs of a loop's body must be its own nodes', each under one name.
    results = [go_on, *following, *(part for pair in longer for part in pair), collected]
    outputs = [body("Identity", value, outputs=[f"loop.result{n}"]) for n, value in enumerate(results)]
    kinds = [
        (_BOOL, ()),
        *((kind, shape) for _, (_, kind, shape) in states),
        *((kind, tuple(f"next.{d}" if d == "past" else d for d in shape)) for _, kind, shape in caches),
        (_FLOAT if not states else _INT, ("batch",)),
    ]
    graph = helper.make_graph(
        body.nodes,
        "step",
        [
            value_info(("iteration", _INT, ())),
            value_info(("condition", _BOOL, ())),
            *(value_info(value) for _, value in states),
            *(value_info(value) for value in caches),
        ],
        [value_info((name, *kind)) for name, kind in zip(outputs, kinds, strict=True)],
    )
    start = [count, "", *(first for first, _ in states), *empty]
    final = [f"final{n}" for n in range(len(states) + len(caches))]
    ops("Loop", *start, outputs=[*final, "collected"], body=graph)
    return "collected"


def greedy_onnx(network: TransformerNetwork) -> onnx.ModelProto:
    """`source` (batch, length) and `limit` (), int64 -> `tokens` (steps, batch), the likeliest at each step.

    It stops when every sentence had its END, at `limit` steps at the latest; what follows a sentence's END is
    to be ignored.
    """
    writer, ops = Writer(network.eval()), Ops()
    batch = ops("Slice", ops("Shape", "source"), ops.ints(0), ops.ints(1))
    begin = ops("Expand", ops.constant(BEGIN, "begin", np.int64), batch)
    running = ops("Not", ops("Cast", begin, to=TensorProto.BOOL))  # as many False as sentences

    def after(body: Ops, scores: str, states: Sequence[str]) -> tuple[str, Sequence[str], str]:
        tokens = body("ArgMax", scores, axis=1, keepdims=0)
        ended = body("Or", states[1], body("Equal", tokens, ops.constant(END, "end", np.int64)))
        fewest = body("ReduceMin", body("Cast", ended, to=TensorProto.INT32), keepdims=0)
        return body("Not", body("Cast", fewest, to=TensorProto.BOOL)), [tokens, ended], tokens

    states = [(begin, ("previous", _INT, ("batch",))), (running, ("ended", _BOOL, ("batch",)))]
    found = _decoding(
        writer,
        ops,
        "source",
        "limit",
        tokens=lambda _body, _n, names: names[0],
        after=after,
        states=states,
    )
    ops("Identity", found, outputs=["tokens"])
    inputs: list[Value] = [("source", _INT, ("batch", "length")), ("limit", _INT, ())]
    return _model(ops, inputs, [("tokens", _INT, ("steps", "batch"))])


def timed_onnx(timed: TimedTranslation, tokens: InputSpec) -> onnx.ModelProto:
    """A `TimedTranslation` with its input, of a shape with the batch dimension, and its output `output`."""
    batch, _, length = tokens.shape
    writer, ops = Writer(timed.network.eval()), Ops()
    zero, one = ops.constant(0, "zero", np.int64), ops.constant(1, "one", np.int64)
    source = ops("Gather", tokens.name, zero, axis=1)
    targets = ops("Transpose", ops("Gather", tokens.name, one, axis=1), perm=[1, 0])

    def after(body: Ops, scores: str, _states: Sequence[str]) -> tuple[str, Sequence[str], str]:
        return "condition", [], body("ReduceMax", scores, axes=[1], keepdims=0)

    found = _decoding(
        writer,
        ops,
        source,
        ops.constant(length, "steps", np.int64),
        tokens=lambda body, n, _names: body("Gather", targets, n, axis=0),
        after=after,
    )
    ops("Transpose", found, perm=[1, 0], outputs=["output"])
    inputs: list[Value] = [(tokens.name, tokens.dtype, tokens.shape)]
    return _model(ops, inputs, [("output", _FLOAT, (batch, length))])


def _model(ops: Ops, inputs: Sequence[Value], outputs: Sequence[Value]) -> onnx.ModelProto:
    return make_model(ops.nodes, inputs, outputs, list(ops.constants.values()))


class TransformerWriter:
    """See `modnas.core.source.GraphWriter`: an application gets a greedy decoding."""

    version = 2  # 1 made the tokens of floats

    def timed(self, module: nn.Module, inputs: Sequence[InputSpec]) -> bytes:
        """See `timed_onnx`."""
        if not isinstance(module, TimedTranslation) or len(inputs) != 1:
            raise ExportError(f"a translation of tokens is needed, not {type(module).__name__}")
        content: bytes = timed_onnx(module, inputs[0]).SerializeToString()
        return content

    def deployed(self, network: nn.Module) -> bytes:
        """See `greedy_onnx`."""
        if not isinstance(network, TransformerNetwork):
            raise ExportError(f"a transformer is needed, not {type(network).__name__}")
        content: bytes = greedy_onnx(network).SerializeToString()
        return content
