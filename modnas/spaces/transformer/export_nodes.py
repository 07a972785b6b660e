"""Parts of a transformer as ONNX nodes; `export` makes whole models of them.

The caches hold heads apart, keys transposed: that is how a step uses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from modnas.spaces.transformer.network import (
    MASKED,
    PAD,
    DecoderLayer,
    EncoderLayer,
    Layer,
    TransformerNetwork,
)


class Ops:
    """Nodes of one graph. Constants live in the outermost, where the body of a loop can see them."""

    def __init__(self, outer: Ops | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.prefix = "loop." if outer else ""
        self.constants: dict[str, onnx.TensorProto] = outer.constants if outer else {}

    def __call__(self, kind: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node; the name of its (first) output, made up unless given."""
        names = list(outputs) or [f"{self.prefix}{kind}.{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0]

    def constant(self, value: npt.ArrayLike, name: str, dtype: type = np.float32) -> str:
        """A tensor, stored once a name."""
        if name not in self.constants:
            array: npt.NDArray[Any] = np.ascontiguousarray(np.asarray(value, dtype))
            self.constants[name] = numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return name

    def ints(self, *values: int) -> str:
        """A vector of integers."""
        return self.constant(values, "ints." + ".".join(map(str, values)), np.int64)


@dataclass(frozen=True)
class Step:
    """Names of a decoder layer's cache (keys, values) and memory (keys, values, bias)."""

    own: tuple[str, str]
    memory: tuple[str, str, str]


class Writer:
    """Writes the parts of one network; methods take and return names of values."""

    def __init__(self, network: TransformerNetwork) -> None:
        self.network, self.body, self.plan = network, network.body, network.plan
        self.names = {id(p): name for name, p in network.named_parameters()}

    def _parameter(self, ops: Ops, parameter: torch.Tensor, scale: float = 1.0, turn: bool = False) -> str:
        value = (parameter.detach() * scale).cpu().numpy()
        name = self.names[id(parameter)] + (".transposed" if turn else "")
        return ops.constant(value.T if turn else value, name)

    def linear(self, ops: Ops, layer: nn.Linear, x: str, scale: float = 1.0) -> str:
        product = ops("MatMul", x, self._parameter(ops, layer.weight, scale, turn=True))
        return ops("Add", product, self._parameter(ops, layer.bias, scale))

    def norm(self, ops: Ops, layer: nn.LayerNorm, x: str) -> str:
        weights = (self._parameter(ops, p) for p in (layer.weight, layer.bias))
        return ops("LayerNormalization", x, *weights, axis=-1, epsilon=layer.eps)

    def _split(self, ops: Ops, x: str, heads: int, order: Sequence[int]) -> str:
        inner = self.body.inner
        return ops("Transpose", ops("Reshape", x, ops.ints(0, -1, heads, inner // heads)), perm=list(order))

    def project(self, ops: Ops, attention: Any, memory: str, heads: int) -> tuple[str, str]:
        """Keys (batch, heads, channels, length) and values (batch, heads, length, channels)."""
        keys = self._split(ops, self.linear(ops, attention.key, memory), heads, (0, 2, 3, 1))
        return keys, self._split(ops, self.linear(ops, attention.value, memory), heads, (0, 2, 1, 3))

    def attend(
        self, ops: Ops, attention: Any, x: str, memory: tuple[str, str, str | None], heads: int
    ) -> str:
        """Attention from (batch, length, channels); `memory`: keys, values as projected, bias."""
        keys, values, bias = memory
        scale = 1 / math.sqrt(self.body.inner // heads)
        query = self._split(ops, self.linear(ops, attention.query, x, scale), heads, (0, 2, 1, 3))
        scores = ops("MatMul", query, keys)
        weights = ops("Softmax", ops("Add", scores, bias) if bias else scores, axis=-1)
        found = ops("Transpose", ops("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self.linear(ops, attention.out, ops("Reshape", found, ops.ints(0, -1, self.body.inner)))

    def _branch(self, ops: Ops, layer: Layer, n: int, x: str, write: Callable[[str], str]) -> str:
        norm = layer.norms[n]
        assert isinstance(norm, nn.LayerNorm)
        if layer.norm_first:
            return ops("Add", x, write(self.norm(ops, norm, x)))
        return self.norm(ops, norm, ops("Add", x, write(x)))

    def _feed_forward(self, ops: Ops, layer: Layer, x: str) -> str:
        return self.linear(ops, layer.down, ops("Relu", self.linear(ops, layer.up, x)))

    def _embed(self, ops: Ops, tokens: str, width: int, positions: str) -> str:
        """Embedded tokens of any shape, with the rows `positions` of the position signals."""
        table = self._parameter(ops, self.body.embedding.weight)
        rows = ops("Gather", table, tokens)
        if width < self.body.embedding.weight.shape[1]:
            rows = ops("Slice", rows, ops.ints(0), ops.ints(width), ops.ints(-1))
        scaled = ops("Mul", rows, ops.constant(math.sqrt(width), f"root{width}"))
        signals = ops.constant(self.body.positions[:, :width].numpy(), f"positions{width}")
        return ops("Add", scaled, ops("Gather", signals, positions))

    def encode(self, ops: Ops, source: str) -> list[tuple[str, str, str]]:
        """For every decoder layer, what it attends to of a source (batch, length): keys, values, bias."""
        hidden = ops("Equal", source, ops.constant(PAD, "pad", np.int64))
        masked = ops("Mul", ops("Cast", hidden, to=TensorProto.FLOAT), ops.constant(MASKED, "masked"))
        bias = ops("Unsqueeze", masked, ops.ints(1, 2))
        length = ops("Gather", ops("Shape", source), ops.constant(1, "one", np.int64))
        zero, one = ops.constant(0, "zero", np.int64), ops.constant(1, "one", np.int64)
        x = self._embed(ops, source, self.plan.encoder_embed, ops("Range", zero, length, one))
        outputs = []
        for n, layer in enumerate(self.body.encoder):
            assert isinstance(layer, EncoderLayer)
            x = self._encoder_layer(ops, layer, x, bias, self.plan.encoder_heads[n])
            outputs.append(x)
        last = outputs[-max(self.plan.attended) :][::-1]
        if self.body.final:
            last = [self.norm(ops, self.body.final[0], y) for y in last]  # type: ignore[arg-type]
        seen = {
            count: (ops("Concat", *last[:count], axis=1), ops("Concat", *[bias] * count, axis=-1))
            for count in sorted({*self.plan.attended})
        }
        found = []
        for n, layer in enumerate(self.body.decoder):
            assert isinstance(layer, DecoderLayer)
            memory, mask = seen[self.plan.attended[n]]
            found.append((*self.project(ops, layer.cross, memory, self.plan.cross_heads[n]), mask))
        return found

    def _encoder_layer(self, ops: Ops, layer: EncoderLayer, x: str, bias: str, heads: int) -> str:
        def attend(seen: str) -> str:
            projected = self.project(ops, layer.attention, seen, heads)
            return self.attend(ops, layer.attention, seen, (*projected, bias), heads)

        x = self._branch(ops, layer, 0, x, attend)
        return self._branch(ops, layer, 1, x, lambda seen: self._feed_forward(ops, layer, seen))

    def step(
        self, ops: Ops, tokens: str, position: str, table: str, layers: Sequence[Step]
    ) -> tuple[str, list[tuple[str, str]]]:
        """Scores (batch, vocabulary) after tokens (batch,), and the longer caches.

        `position`: a vector of one; `table`: the output layer's, (vocabulary, decoder_embed).
        """
        column = ops("Unsqueeze", tokens, ops.ints(1))
        x = self._embed(ops, column, self.plan.decoder_embed, position)
        caches = []
        for n, (layer, given) in enumerate(zip(self.body.decoder, layers, strict=True)):
            assert isinstance(layer, DecoderLayer)
            x, cache = self._decoder_layer(ops, layer, n, x, given)
            caches.append(cache)
        if self.body.final:
            x = self.norm(ops, self.body.final[1], x)  # type: ignore[arg-type]
        return ops("Gemm", ops("Squeeze", x, ops.ints(1)), table, transB=1), caches

    def _decoder_layer(
        self, ops: Ops, layer: DecoderLayer, n: int, x: str, given: Step
    ) -> tuple[str, tuple[str, str]]:
        heads, cross_heads = self.plan.decoder_heads[n], self.plan.cross_heads[n]
        cache: list[str] = []

        def attend(seen: str) -> str:
            key, value = self.project(ops, layer.attention, seen, heads)
            cache.append(ops("Concat", given.own[0], key, axis=3))
            cache.append(ops("Concat", given.own[1], value, axis=2))
            return self.attend(ops, layer.attention, seen, (cache[0], cache[1], None), heads)

        x = self._branch(ops, layer, 0, x, attend)
        x = self._branch(
            ops, layer, 1, x, lambda seen: self.attend(ops, layer.cross, seen, given.memory, cross_heads)
        )
        x = self._branch(ops, layer, 2, x, lambda seen: self._feed_forward(ops, layer, seen))
        return x, (cache[0], cache[1])

    def output_table(self, ops: Ops) -> str:
        """The columns of the embedding table that the output layer has."""
        table, width = self._parameter(ops, self.body.embedding.weight), self.plan.decoder_embed
        if width == self.body.embedding.weight.shape[1]:
            return table
        return ops("Slice", table, ops.ints(0), ops.ints(width), ops.ints(1))

    def cache_shape(self, n: int, batch: int | str, length: int | str) -> list[tuple[int | str, ...]]:
        """Shapes of decoder layer n's cache of keys and of values."""
        heads = self.plan.decoder_heads[n]
        channels = self.body.inner // heads
        return [(batch, heads, channels, length), (batch, heads, length, channels)]
