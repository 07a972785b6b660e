"""Supernetwork of the transformer space: the largest transformer, run in slices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from modnas.core.architecture import Architecture, read_choices
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.transformer.choices import ATTENDED, OPTIONS, Sizes, grouped
from modnas.spaces.transformer.network import Gates, Mix, Settings, TransformerBody, TransformerNetwork
from modnas.spaces.transformer.plan import Plan


class TransformerSupernetwork(Supernetwork):
    """Weights of all transformers of a space.

    Where a gradient by the sample is asked for, the decisions enter as weights. What the options share is a
    prefix: a hidden unit's weight is the sum over the options that have it, a decoder layer's the sum over
    the depths that reach it. Heads and encoder layers attended to are different functions of the same
    weights: what was chosen is multiplied by its weight. `counterfactual` also executes hidden units, layers,
    heads and attended layers that were not chosen, at weight 0 (not the wider embedding: the normalisation of
    the chosen one would have to change).
    """

    def __init__(self, sizes: Sizes, settings: Settings) -> None:
        super().__init__()
        self.sizes, self.settings = sizes, settings
        self.body = TransformerBody(sizes.largest, settings)

    def forward(self, inputs: Tensor, sample: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary) for inputs (batch, 2, length), int64; sample: (width,)."""
        plan = self.sizes.plan(read_choices(sample, OPTIONS))
        if not sample.requires_grad:
            result: Tensor = self.body(inputs, plan)
            return result
        executed = self._executed(plan) if self.counterfactual else plan
        gated: Tensor = self.body(inputs, executed, self._gates(sample, executed))
        return gated

    def _executed(self, plan: Plan) -> Plan:
        """The chosen embeddings; of everything else the largest."""
        largest = self.sizes.largest
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
        sizes, rows = self.sizes, grouped(sample)

        def prefix(row: Tensor, options: Sequence[int], width: int) -> Tensor:
            """Per unit the summed weight of the options that have it; these fall: (width,)."""
            bounds = [0, *(size for size in reversed(options) if size <= width)]
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
                prefix(rows.encoder_embed[0], sizes.embed, executed.encoder_embed),
                prefix(rows.decoder_embed[0], sizes.embed, executed.decoder_embed),
            ),
            encoder_ffn=[
                prefix(r, sizes.ffn, w) for r, w in zip(rows.encoder_ffn, executed.encoder_ffn, strict=True)
            ],
            encoder_heads=mixes(rows.encoder_heads, sizes.heads),
            decoder_ffn=[
                prefix(r, sizes.ffn, w) for r, w in zip(rows.decoder_ffn, executed.decoder_ffn, strict=False)
            ],
            decoder_heads=mixes(rows.decoder_heads, sizes.heads),
            cross_heads=mixes(rows.cross_heads, sizes.heads),
            attended=mixes(rows.attended, ATTENDED),
            depth=list(rows.depth[0].flip(0).cumsum(0).flip(0)),
        )

    def extract(self, architecture: Architecture) -> TransformerNetwork:
        """The standalone network with the weights that this architecture has here."""
        return self.standalone(architecture.choices)

    @torch.no_grad()
    def standalone(self, choices: Sequence[int]) -> TransformerNetwork:
        """`extract` by option indices."""
        network = TransformerNetwork(self.sizes.plan(choices), self.settings)
        own = dict(self.body.named_parameters())
        for name, parameter in network.body.named_parameters():
            parameter.copy_(own[name][tuple(slice(size) for size in parameter.shape)])
        return network
