"""A MetaHypernetwork on standardised device vectors: what tells devices apart reaches the logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from modnas.search.hypernetwork import Hypernetwork

# Standard deviations of a device vector's entry are taken to be no smaller, so that entries in which the
# known devices hardly differ do not count for much.
_LEAST_SPREAD = 0.05


class ConditionedHypernetwork(Hypernetwork):
    """H(r, d): two hidden layers on a radial basis of the preference and on the standardised device vector.

    Device vectors are standardised over the devices of the search, so that what tells these apart has the
    size of the preference's entries, however little of the vector it is. Beyond the range of these devices
    nothing was learnt: another device counts as the nearest in it.

    Args:
        options: number of options of each decision; the logits are their concatenation.
        devices: feature vectors of the devices of the search, (T, D).
        objectives: length M of a preference.
        centres: of the radial basis, evenly spaced in [0, 1], for each coordinate but the last.
        hidden: width of the hidden layers.
        generator: source of the initial values.
    """

    mean: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        options: Sequence[int],
        devices: Tensor,
        objectives: int,
        *,
        centres: int = 16,
        hidden: int = 128,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.options, self.centres = tuple(options), centres
        spread = devices.std(0, correction=0).clamp(min=_LEAST_SPREAD)
        # One device says nothing of how devices differ.
        self.register_buffer("spread", spread if len(devices) > 1 else torch.ones_like(spread))
        self.register_buffer("mean", devices.mean(0))
        self.register_buffer("low", devices.amin(0))
        self.register_buffer("high", devices.amax(0))
        width = centres * (objectives - 1) + devices.shape[1]
        sizes = (width, hidden, hidden, sum(options))
        self.weights = nn.ParameterList(
            torch.empty(n, m).normal_(generator=generator) / math.sqrt(m)
            for m, n in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(n) for n in sizes[1:])

    def standardised(self, device_features: Tensor) -> Tensor:
        """Device vectors (B, D) as standard deviations from the mean of the search's devices."""
        inside = torch.minimum(torch.maximum(device_features, self.low), self.high)
        return (inside - self.mean) / self.spread

    def forward(self, preferences: Tensor, device_features: Tensor) -> Tensor:
        centres = torch.linspace(0, 1, self.centres, device=preferences.device)
        offsets = (preferences[:, :-1].unsqueeze(2) - centres) * (self.centres - 1)
        values = torch.cat(
            [(-offsets.square() / 2).exp().flatten(1), self.standardised(device_features)], dim=1
        )
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = silu(values @ weight.T + bias)
        logits: Tensor = values @ self.weights[-1].T + self.biases[-1]
        return logits

    @torch.no_grad()
    def pretrain_uniform(self) -> None:
        """See `Hypernetwork.pretrain_uniform`; the hidden layers stay random, the last is zero."""
        self.weights[-1].zero_()
        self.biases[-1].zero_()
