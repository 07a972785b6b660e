"""The encoder-decoder transformer of HAT, as large as asked for and runnable at any smaller plan.

One module serves the standalone network, built as large as it is, and the supernetwork, built as large as the
space's largest and run in slices: every layer takes the first rows and columns of its weights, as many as the
plan and its input say. Sources: Vaswani et al., 2017; Wang et al., 2020 (HAT): 512-wide queries, keys and
values whatever the embedding, one embedding table for source, target and output, of which smaller embeddings
take the first columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm, linear, scaled_dot_product_attention

from modnas.spaces.transformer.plan import Plan

PAD = 0
# Added to the scores of what may not be attended to: finite, so that no row of scores is without a maximum.
MASKED = -1e9

# A decision's options that are executed, each with its weight in the result; no weight is 1.
Mix = Sequence[tuple[int, Tensor | None]]


class Settings(NamedTuple):
    """What shapes a transformer besides its plan.

    Attributes:
        vocabulary: number of tokens; `PAD` is one of them.
        inner: width of queries, keys and values.
        signals: (longest sentence, channels) of the position signals, of which narrower embeddings take the
            first: those of the space's widest, so that a slice and a standalone network see the same.
        norm_first: normalise what enters a branch (and the last layers' outputs) instead of what leaves it.
        drop: share of activations dropped in training.
    """

    vocabulary: int
    inner: int
    signals: tuple[int, int]
    norm_first: bool
    drop: float


class LayerPlan(NamedTuple):
    """What is executed of one layer; `cross_heads` and `attended` are a decoder's only.

    Attributes:
        width: of the feed-forward part; gate: weights of its hidden units, None for all 1.
    """

    width: int
    gate: Tensor | None
    heads: Mix
    cross_heads: Mix = ()
    attended: Mix = ()


class Gates(NamedTuple):
    """How the decisions of an architecture enter its supernetwork's result; each has the value 0 or 1.

    Attributes:
        embed: of encoder and decoder, one weight a channel.
        ffn: of every layer, one weight a hidden unit.
        heads, cross_heads, attended: of every layer, what is executed.
        depth: one weight a decoder layer.
    """

    embed: tuple[Tensor, Tensor]
    encoder_ffn: Sequence[Tensor]
    encoder_heads: Sequence[Mix]
    decoder_ffn: Sequence[Tensor]
    decoder_heads: Sequence[Mix]
    cross_heads: Sequence[Mix]
    attended: Sequence[Mix]
    depth: Sequence[Tensor]


def _sliced(layer: nn.Linear, x: Tensor, outputs: int | None = None) -> Tensor:
    """The layer's first `outputs` rows on as many columns as `x` has."""
    return linear(x, layer.weight[:outputs, : x.shape[-1]], layer.bias[:outputs])


class Norm(nn.LayerNorm):
    """Layer normalisation over as many channels as its input has."""

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        return layer_norm(x, (width,), self.weight[:width], self.bias[:width], self.eps)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """Multi-head attention; keys and values may come from elsewhere, and be projected before."""

    def __init__(self, embed: int, memory: int, inner: int) -> None:
        super().__init__()
        self.query, self.out = _linear(embed, inner), _linear(inner, embed)
        self.key, self.value = _linear(memory, inner), _linear(memory, inner)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of (batch, length, channels): (batch, length, inner) each."""
        return _sliced(self.key, memory), _sliced(self.value, memory)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, heads: int, bias: Tensor | None) -> Tensor:
        """Attend from (batch, length, channels).

        `bias`: added to the scores, broadcastable to (batch, heads, length, length of the keys).
        """

        def split(t: Tensor) -> Tensor:
            return t.view(*t.shape[:2], heads, t.shape[-1] // heads).transpose(1, 2)

        found = scaled_dot_product_attention(
            split(_sliced(self.query, x)), split(keys), split(values), attn_mask=bias
        )
        return _sliced(self.out, found.transpose(1, 2).flatten(2), x.shape[-1])


def _mixed(mix: Mix, results: Sequence[Tensor]) -> Tensor:
    """Weighted sum of what a decision's executed options give."""
    parts = [r if weight is None else r * weight for (_, weight), r in zip(mix, results, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


class Layer(nn.Module):
    """What encoder and decoder layers share: residual branches, normalised before or after."""

    def __init__(self, embed: int, ffn: int, branches: int, settings: Settings) -> None:
        super().__init__()
        self.up, self.down = _linear(embed, ffn), _linear(ffn, embed)
        self.norms = nn.ModuleList(Norm(embed) for _ in range(branches))
        self.norm_first, self.drop = settings.norm_first, settings.drop

    def before(self, branch: int, x: Tensor) -> Tensor:
        """What the branch sees of the stream."""
        normalised: Tensor = self.norms[branch](x) if self.norm_first else x
        return normalised

    def after(self, branch: int, x: Tensor, result: Tensor) -> Tensor:
        """The stream with the branch's result."""
        x = x + dropout(result, self.drop, self.training)
        normalised: Tensor = x if self.norm_first else self.norms[branch](x)
        return normalised

    def feed_forward(self, x: Tensor, plan: LayerPlan) -> Tensor:
        """The last branch."""
        hidden = _sliced(self.up, self.before(len(self.norms) - 1, x), plan.width).relu()
        if plan.gate is not None:
            hidden = hidden * plan.gate
        result = _sliced(self.down, dropout(hidden, self.drop, self.training), x.shape[-1])
        return self.after(len(self.norms) - 1, x, result)


class EncoderLayer(Layer):
    """Self-attention and feed-forward part."""

    def __init__(self, embed: int, ffn: int, settings: Settings) -> None:
        super().__init__(embed, ffn, 2, settings)
        self.attention = Attention(embed, embed, settings.inner)

    def forward(self, x: Tensor, bias: Tensor, plan: LayerPlan) -> Tensor:
        """One layer on (batch, length, embed); `bias` hides padding."""
        seen = self.before(0, x)
        keys, values = self.attention.project(seen)
        found = [self.attention(seen, keys, values, count, bias) for count, _ in plan.heads]
        return self.feed_forward(self.after(0, x, _mixed(plan.heads, found)), plan)


class Memory(NamedTuple):
    """What a decoder layer attends to: keys and values (batch, length, inner), the bias of their padding."""

    keys: Tensor
    values: Tensor
    bias: Tensor


class DecoderLayer(Layer):
    """Self-attention, attention to the encoder, feed-forward part."""

    def __init__(self, embed: int, encoder_embed: int, ffn: int, settings: Settings) -> None:
        super().__init__(embed, ffn, 3, settings)
        self.attention = Attention(embed, embed, settings.inner)
        self.cross = Attention(embed, encoder_embed, settings.inner)

    def memories(self, encoded: Sequence[Tensor], bias: Tensor, attended: Mix) -> list[Memory]:
        """For each executed number of encoder layers, their keys and values one after the other."""
        projected = [self.cross.project(x) for x in encoded[-max(count for count, _ in attended) :][::-1]]
        return [
            Memory(
                torch.cat([keys for keys, _ in projected[:count]], 1),
                torch.cat([values for _, values in projected[:count]], 1),
                torch.cat([bias] * count, -1),
            )
            for count, _ in attended
        ]

    def forward(
        self,
        x: Tensor,
        own: tuple[Tensor, Tensor],
        bias: Tensor | None,
        memories: Sequence[Memory],
        plan: LayerPlan,
    ) -> Tensor:
        """One layer.

        Args:
            x: (batch, length, embed).
            own: keys and values of this and all earlier positions; `bias` hides what may not be seen of them.
            memories: one for each executed option of `plan.attended`.
        """
        seen = self.before(0, x)
        found = [self.attention(seen, *own, count, bias) for count, _ in plan.heads]
        x = self.after(0, x, _mixed(plan.heads, found))
        seen = self.before(1, x)
        found = [
            _mixed(
                plan.cross_heads,
                [self.cross(seen, m.keys, m.values, count, m.bias) for count, _ in plan.cross_heads],
            )
            for m in memories
        ]
        return self.feed_forward(self.after(1, x, _mixed(plan.attended, found)), plan)


def sinusoids(length: int, embed: int) -> Tensor:
    """Position signals (length, embed): sines in the first half of the channels, cosines in the second."""
    half = embed // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000.0) / max(half - 1, 1)))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class TransformerBody(nn.Module):
    """All weights of a transformer; `plan` is the largest that is run."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        super().__init__()
        widest = max(plan.encoder_embed, plan.decoder_embed)
        self.embedding = nn.Embedding(settings.vocabulary, widest, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=widest**-0.5)
        self.register_buffer("positions", sinusoids(*settings.signals), persistent=False)
        self.positions: Tensor
        self.encoder = nn.ModuleList(
            EncoderLayer(plan.encoder_embed, ffn, settings) for ffn in plan.encoder_ffn
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(plan.decoder_embed, plan.encoder_embed, ffn, settings) for ffn in plan.decoder_ffn
        )
        # One that HAT does not have, because it normalises at the end of every layer.
        widths = (plan.encoder_embed, plan.decoder_embed) if settings.norm_first else ()
        self.final = nn.ModuleList(Norm(width) for width in widths)
        self.drop, self.inner = settings.drop, settings.inner

    def embed(self, tokens: Tensor, width: int, start: int = 0, gate: Tensor | None = None) -> Tensor:
        """Tokens (batch, length) at positions from `start` on: (batch, length, width)."""
        table = self.embedding.weight[:, :width]
        x = nn.functional.embedding(tokens, table) * math.sqrt(width)
        x = x + self.positions[start : start + tokens.shape[1], :width]
        return dropout(x if gate is None else x * gate, self.drop, self.training)

    def encode(self, source: Tensor, plan: Plan, gates: Gates | None = None) -> tuple[list[Tensor], Tensor]:
        """Outputs of the encoder's layers, and the bias (batch, 1, 1, length) that hides padding."""
        bias = (source == PAD).unsqueeze(1).unsqueeze(1) * torch.tensor(MASKED)
        x = self.embed(source, plan.encoder_embed, gate=gates and gates.embed[0])
        outputs = []
        for n, layer in enumerate(self.encoder):
            heads = gates.encoder_heads[n] if gates else [(plan.encoder_heads[n], None)]
            x = layer(x, bias, LayerPlan(plan.encoder_ffn[n], gates and gates.encoder_ffn[n], heads))
            outputs.append(x)
        return [self.final[0](x) for x in outputs] if self.final else outputs, bias

    def decode(
        self, targets: Tensor, encoded: list[Tensor], bias: Tensor, plan: Plan, gates: Gates | None = None
    ) -> Tensor:
        """Logits (batch, length, vocabulary) of what follows each prefix of `targets` (batch, length)."""
        length = targets.shape[1]
        ahead = torch.full((length, length), MASKED, device=targets.device).triu(1)
        x = self.embed(targets, plan.decoder_embed, gate=gates and gates.embed[1])
        for n in range(plan.depth):
            layer = self.decoder[n]
            assert isinstance(layer, DecoderLayer)
            chosen = self.decoder_plan(plan, n, gates)
            memories = layer.memories(encoded, bias, chosen.attended)
            own = layer.attention.project(layer.before(0, x))
            y = layer(x, own, ahead, memories, chosen)
            x = y if gates is None else y * gates.depth[n] + x * (1 - gates.depth[n])
        return self.logits(x)

    @staticmethod
    def decoder_plan(plan: Plan, n: int, gates: Gates | None = None) -> LayerPlan:
        """What is executed of decoder layer n."""
        width = plan.decoder_ffn[n]
        if gates is not None:
            mixes = gates.decoder_heads[n], gates.cross_heads[n], gates.attended[n]
            return LayerPlan(width, gates.decoder_ffn[n], *mixes)
        options = plan.decoder_heads[n], plan.cross_heads[n], plan.attended[n]
        return LayerPlan(width, None, *([(option, None)] for option in options))

    def logits(self, x: Tensor) -> Tensor:
        """Scores of the vocabulary for (batch, length, decoder_embed)."""
        if self.final:
            x = self.final[1](x)
        return linear(x, self.embedding.weight[:, : x.shape[-1]])

    def forward(self, inputs: Tensor, plan: Plan, gates: Gates | None = None) -> Tensor:
        """Logits for inputs (batch, 2, length): source, and target shifted by one, both padded."""
        encoded, bias = self.encode(inputs[:, 0], plan, gates)
        return self.decode(inputs[:, 1], encoded, bias, plan, gates)


class TransformerNetwork(nn.Module):
    """A standalone transformer: a body as large as its plan."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        super().__init__()
        self.plan, self.vocabulary = plan, settings.vocabulary
        self.body = TransformerBody(plan, settings)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary) for inputs (batch, 2, length), int64."""
        result: Tensor = self.body(inputs, self.plan)
        return result
