"""Supernetwork of the transformer space: the largest transformer, run in slices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modnas.spaces.base import Supernetwork
from modnas.spaces.transformer_network import Gates, Mix, TransformerBody, TransformerNetwork
from modnas.spaces.transformer_plan import Plan

if TYPE_CHECKING:
    from modnas.spaces.base import Architecture
    from modnas.spaces.transformer import Transformer


class TransformerSupernetwork(Supernetwork):
    """Weights of all transformers of a space.

    Where a gradient by the sample is asked for, the decisions enter as weights. What the options share is a
    prefix: a hidden unit's weight is the sum over the options that have it, a decoder layer's the sum over
    the depths that reach it. Heads and encoder layers attended to are different functions of the same
    weights: what was chosen is multiplied by its weight. `counterfactual` also executes hidden units, layers,
    heads and attended layers that were not chosen, at weight 0 (not the wider embedding: the normalisation of
    the chosen one would have to change).
    """

    def __init__(self, space: Transformer) -> None:
        super().__init__()
        self.space = space
        self.body = TransformerBody(space.largest, space.settings)

    def forward(self, inputs: Tensor, sample: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary) for inputs (batch, 2, length), int64; sample: (width,)."""
        plan = self.space.plan(self.space.read(sample))
        if not sample.requires_grad:
            result: Tensor = self.body(inputs, plan)
            return result
        executed = self._executed(plan) if self.counterfactual else plan
        gated: Tensor = self.body(inputs, executed, self._gates(sample, executed))
        return gated

    def _executed(self, plan: Plan) -> Plan:
        """The chosen embeddings; of everything else the largest."""
        largest = self.space.largest
        return Plan(
            plan.encoder_embed,
            plan.decoder_embed,
            largest.encoder_ffn,
            largest.encoder_heads,
            largest.decoder_ffn,
            largest.decoder_heads,
            largest.cross_heads,
            largest.attended,
        )

    def _gates(self, sample: Tensor, executed: Plan) -> Gates:
        space, rows = self.space, self.space.grouped(sample)

        def prefix(row: Tensor, sizes: Sequence[int], width: int) -> Tensor:
            """Per unit the summed weight of the options that have it; sizes fall: (width,)."""
            bounds = [0, *(size for size in reversed(sizes) if size <= width)]
            weights = row.cumsum(0).flip(0)[: len(bounds) - 1]
            return weights.repeat_interleave(
                torch.tensor([high - low for low, high in itertools.pairwise(bounds)], device=row.device)
            )

        def mixes(table: Tensor, options: Sequence[int]) -> list[Mix]:
            return [
                [
                    (option, row[k])
                    for k, option in enumerate(options)
                    if self.counterfactual or k == int(row.argmax())
                ]
                for row in table
            ]

        return Gates(
            embed=(
                prefix(rows.encoder_embed[0], space.embed, executed.encoder_embed),
                prefix(rows.decoder_embed[0], space.embed, executed.decoder_embed),
            ),
            encoder_ffn=[
                prefix(r, space.ffn, w) for r, w in zip(rows.encoder_ffn, executed.encoder_ffn, strict=True)
            ],
            encoder_heads=mixes(rows.encoder_heads, space.heads),
            decoder_ffn=[
                prefix(r, space.ffn, w) for r, w in zip(rows.decoder_ffn, executed.decoder_ffn, strict=False)
            ],
            decoder_heads=mixes(rows.decoder_heads, space.heads),
            cross_heads=mixes(rows.cross_heads, space.heads),
            attended=mixes(rows.attended, (1, 2, 3)),
            depth=list(rows.depth[0].flip(0).cumsum(0).flip(0)),
        )

    @torch.no_grad()
    def extract(self, architecture: Architecture) -> TransformerNetwork:
        """The standalone network with the weights that this architecture has here."""
        network = self.space.network(architecture)
        assert isinstance(network, TransformerNetwork)
        own = dict(self.body.named_parameters())
        for name, parameter in network.body.named_parameters():
            parameter.copy_(own[name][tuple(slice(size) for size in parameter.shape)])
        return network
