"""The decisions of the transformer space: their order in an encoding, and the sizes they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.spaces.transformer.plan import ENCODER_LAYERS, MAX_DECODER_LAYERS, Plan

ATTENDED = (1, 2, 3)
# The groups of decisions in the order of the encoding: (number of decisions, options of each). The widths of
# the groups, products of the two, are those of the paper's nine embedding tables (appendix D.2), 100 in all.
GROUPS = {
    "encoder_embed": (1, 2),
    "decoder_embed": (1, 2),
    "encoder_ffn": (ENCODER_LAYERS, 3),
    "decoder_ffn": (MAX_DECODER_LAYERS, 3),
    "encoder_heads": (ENCODER_LAYERS, 2),
    "decoder_heads": (MAX_DECODER_LAYERS, 2),
    "depth": (1, MAX_DECODER_LAYERS),
    "cross_heads": (MAX_DECODER_LAYERS, 2),
    "attended": (MAX_DECODER_LAYERS, len(ATTENDED)),
}
OPTIONS = tuple(options for count, options in GROUPS.values() for _ in range(count))
# Tables of a MetaHypernetwork with two objectives, one a group, all indexed by the task's preference.
HYPERNETWORK_TABLES = tuple((count * options, 0) for count, options in GROUPS.values())
DECODER_GROUPS = ("decoder_ffn", "decoder_heads", "cross_heads", "attended")


class Groups(NamedTuple):
    """An encoding or logits by group: each (..., decisions, options)."""

    encoder_embed: Tensor
    decoder_embed: Tensor
    encoder_ffn: Tensor
    decoder_ffn: Tensor
    encoder_heads: Tensor
    decoder_heads: Tensor
    depth: Tensor
    cross_heads: Tensor
    attended: Tensor


def grouped(onehot: Tensor) -> Groups:
    """An encoding or logits (..., width) by group."""
    pieces = torch.split(onehot, [count * options for count, options in GROUPS.values()], -1)
    return Groups(
        *(p.reshape(*p.shape[:-1], *shape) for p, shape in zip(pieces, GROUPS.values(), strict=True))
    )


def alive_layers(groups: Groups) -> Tensor:
    """Per decoder layer the summed weight of the depths that reach it: (..., 6)."""
    return groups.depth[..., 0, :].flip(-1).cumsum(-1).flip(-1)


def parts_of(choices: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Option indices by group."""
    parts, start = {}, 0
    for name, (count, _) in GROUPS.items():
        parts[name] = tuple(choices[start : start + count])
        start += count
    return parts


class Sizes(NamedTuple):
    """What the options stand for, falling: widths of embeddings and feed-forward parts, numbers of heads."""

    embed: tuple[int, ...]
    ffn: tuple[int, ...]
    heads: tuple[int, ...]

    def plan(self, choices: Sequence[int]) -> Plan:
        """The sizes of one network; choices for decoder layers that it does not have do not count."""
        parts = parts_of(choices)
        depth = parts["depth"][0] + 1
        return Plan(
            self.embed[parts["encoder_embed"][0]],
            self.embed[parts["decoder_embed"][0]],
            tuple(self.ffn[c] for c in parts["encoder_ffn"]),
            tuple(self.heads[c] for c in parts["encoder_heads"]),
            tuple(self.ffn[c] for c in parts["decoder_ffn"][:depth]),
            tuple(self.heads[c] for c in parts["decoder_heads"][:depth]),
            tuple(self.heads[c] for c in parts["cross_heads"][:depth]),
            tuple(ATTENDED[c] for c in parts["attended"][:depth]),
        )

    @property
    def largest(self) -> Plan:
        """The network that holds all others."""
        first_or_last = {"depth": MAX_DECODER_LAYERS - 1, "attended": len(ATTENDED) - 1}
        return self.plan([c for g, (count, _) in GROUPS.items() for c in [first_or_last.get(g, 0)] * count])
