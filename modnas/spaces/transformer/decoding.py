"""Decoding token by token: a cache of keys and values, greedy and beam search, and what is timed of it."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from modnas.spaces.transformer.network import DecoderLayer, Memory, TransformerNetwork

BEGIN, END = 1, 2


class Cache(NamedTuple):
    """What decoding keeps between two steps; the first dimension of every tensor is the sentence.

    Attributes:
        own: of every decoder layer, keys and values of the positions so far.
        memories: of every decoder layer, what it attends to of the source.
    """

    own: tuple[tuple[Tensor, Tensor], ...]
    memories: tuple[Memory, ...]

    @property
    def length(self) -> int:
        """Positions so far."""
        return self.own[0][0].shape[1]

    def chosen(self, rows: Tensor) -> Cache:
        """The cache of these sentences, in this order, repeats allowed."""
        own = tuple((keys[rows], values[rows]) for keys, values in self.own)
        return Cache(own, tuple(Memory(*(part[rows] for part in memory)) for memory in self.memories))


class Decoder(Protocol):
    """Anything that translates step by step: a network, or its export under another runtime."""

    def start(self, source: Tensor) -> Cache:
        """The cache before the first token of sentences (batch, length)."""

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Scores (batch, vocabulary) of what follows `tokens` (batch,), and the longer cache."""


class NetworkDecoder:
    """A standalone network, decoding."""

    def __init__(self, network: TransformerNetwork) -> None:
        self.network = network

    def start(self, source: Tensor) -> Cache:
        """See `Decoder`."""
        body, plan = self.network.body, self.network.plan
        encoded, bias = body.encode(source, plan)
        own, memories = [], []
        for n in range(plan.depth):
            layer = body.decoder[n]
            assert isinstance(layer, DecoderLayer)
            memories += layer.memories(encoded, bias, [(plan.attended[n], None)])
            keys, values = memories[-1].keys, memories[-1].values
            own.append((keys[:, :0], values[:, :0]))
        return Cache(tuple(own), tuple(memories))

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Decoder`."""
        body, plan = self.network.body, self.network.plan
        x = body.embed(tokens.unsqueeze(1), plan.decoder_embed, cache.length)
        own = []
        for n, (keys, values) in enumerate(cache.own):
            layer = body.decoder[n]
            assert isinstance(layer, DecoderLayer)
            key, value = layer.attention.project(layer.before(0, x))
            own.append((torch.cat([keys, key], 1), torch.cat([values, value], 1)))
            x = layer(x, own[n], None, [cache.memories[n]], body.decoder_plan(plan, n))
        return body.logits(x)[:, 0], Cache(tuple(own), cache.memories)


@torch.no_grad()
def greedy(decoder: Decoder, source: Tensor, limit: int) -> list[list[int]]:
    """The most likely token at each step, until END or `limit` tokens; without BEGIN and END.

    `source`: (batch, length), padded.
    """
    cache = decoder.start(source)
    tokens = torch.full((len(source),), BEGIN, device=source.device)
    rows: list[Tensor] = []
    ended = torch.zeros_like(tokens, dtype=torch.bool)
    while len(rows) < limit and not ended.all():
        scores, cache = decoder.step(tokens, cache)
        tokens = scores.argmax(1)
        ended |= tokens == END
        rows.append(tokens)
    return [_until_end(sentence) for sentence in torch.stack(rows, 1).tolist()]


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END)] if END in tokens else tokens


@torch.no_grad()
def beam_search(
    decoder: Decoder, source: Tensor, limit: int, *, beam: int = 4, length_penalty: float = 0.6
) -> list[int]:
    """The best translation of one sentence (length,) among the ends that `beam` prefixes reach.

    A translation's score is its log-probability divided by ((5 + n) / 6) ** length_penalty, n its tokens with
    END (Wu et al., 2016). The search ends when no prefix can beat the best end, or at `limit` tokens.
    """
    cache = decoder.start(source.unsqueeze(0))
    prefixes: list[list[int]] = [[]]
    totals = torch.zeros(1, device=source.device)
    best: tuple[float, list[int]] = (-math.inf, [])
    for n in range(1, limit + 1):
        last = torch.tensor([prefix[-1] if prefix else BEGIN for prefix in prefixes], device=source.device)
        scores, cache = decoder.step(last, cache)
        added = totals.unsqueeze(1) + scores.log_softmax(1)
        penalty = ((5 + n) / 6) ** length_penalty
        ends = added[:, END] / penalty
        row = int(ends.argmax())
        if float(ends[row]) > best[0]:
            best = float(ends[row]), prefixes[row]
        added[:, END] = -math.inf
        totals, flat = added.flatten().topk(beam)
        parents, tokens = flat // added.shape[1], flat % added.shape[1]
        prefixes = [[*prefixes[p], t] for p, t in zip(parents.tolist(), tokens.tolist(), strict=True)]
        cache = cache.chosen(parents)
        # Log-probabilities only fall, and no end is divided by more than one of `limit` tokens.
        if float(totals[0]) / ((5 + limit) / 6) ** length_penalty <= best[0]:
            break
    return best[1] if best[0] > -math.inf else prefixes[0]


class TimedTranslation(nn.Module):
    """What is timed of a network: the encoder, then one decoder step a target token, as HAT does.

    The tokens that the decoder is given are part of the input, so that every runtime does the same steps.
    """

    def __init__(self, network: TransformerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """The highest score at each step, (batch, length), for tokens (batch, 2, length), int64, none of them
        PAD: a sentence, and what the decoder is given."""
        decoder = NetworkDecoder(self.network)
        cache = decoder.start(tokens[:, 0])
        found = []
        for n in range(tokens.shape[2]):
            scores, cache = decoder.step(tokens[:, 1, n], cache)
            found.append(scores.amax(1))
        return torch.stack(found, 1)
