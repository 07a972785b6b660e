"""What a device may be like before anything was measured on it: draws from a prior.

Each hypothesis names a combination of the learned devices that the device follows (one of them, their mean,
those that agree with its measurements, or none), and how far it may leave that: variances of a combination of
all learned devices, of prices for what the space says of an architecture, of a smooth function, and of the
measurements. `transfer` weighs them by their evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_COUNT, _FEWER = 1024, 256
_MANY = 50  # measurements, above which fewer hypotheses must do: each costs their third power
# Logarithm to base 10 of the median of each variance and its standard deviation; units are the variance of
# the measurements. In the order of `Hypotheses.shares`, then the lead's and the noise's.
_MEDIANS = (-1.5, -1.5, -2.0, -1.5, -2.0, 0.0, -1.5)
_SPREADS = (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0)
# Shares of the kinds of leads: one learned device; the mean of all; those near, by two powers; none.
_LEADS = (0.2, 0.1, 0.3, 0.3, 0.1)
_SAME = 0.1  # of the hypotheses: the lead says everything
_TINY = 1e-5  # the variances then, in their unit
# Unexplained share of a measurement's variance that makes no difference between learned devices.
_POWERS = (1, 3)  # the two kinds of nearness
_FLOOR = 0.01


class Hypotheses(NamedTuple):
    """H settings for a device.

    Attributes:
        leads: the combination of the learned devices that is followed, (H, T), of unit variance; or zeros.
        lead: variance of its slope, (H,).
        shares: variances of: a combination of all learned devices, prices of what is executed, of what is
            chosen and of option counts, a smooth function: (H, 5).
        noise: variance of a measurement of average value, (H,).
    """

    leads: Tensor
    lead: Tensor
    shares: Tensor
    noise: Tensor

    def rows(self, chosen: Tensor) -> Hypotheses:
        """Some of them."""
        return Hypotheses(*(part[chosen] for part in self))


def draw(agreement: Tensor, correlation: Tensor, measured: int) -> Hypotheses:
    """The hypotheses for a device. The same for the same arguments.

    Args:
        agreement: correlation of the device's measurements with what each learned device says of them, (T,).
        correlation: between the learned devices, over the space, (T, T).
        measured: number of measurements that are to weigh them.
    """
    engine = torch.quasirandom.SobolEngine(len(_MEDIANS) + 3, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    draws = (
        engine.draw(_FEWER if measured > _MANY else _COUNT, dtype=torch.float64)
        .clamp(1e-6, 1 - 1e-6)
        .to(agreement.device)
    )
    medians, spreads = agreement.new_tensor(_MEDIANS), agreement.new_tensor(_SPREADS)
    variances = 10 ** (medians + spreads * torch.special.ndtri(draws[:, : len(_MEDIANS)]))
    same = draws[:, -1] < _SAME
    shares = variances[:, :5].where(~same.unsqueeze(1), variances.new_tensor(_TINY))
    leads = _leads(draws[:, -3], draws[:, -2], agreement)
    spread = torch.einsum("ht,tu,hu->h", leads, correlation, leads)
    leads = leads / spread.clamp(min=1e-9).sqrt().unsqueeze(1)
    return Hypotheses(leads, variances[:, 5], shares, variances[:, 6])


def _leads(kind: Tensor, member: Tensor, agreement: Tensor) -> Tensor:
    """Weights of the learned devices, (H, T), of each kind that `_LEADS` lists."""
    count = len(agreement)
    if not count:
        return agreement.new_zeros(len(kind), 0)
    unexplained = 1 - agreement.clamp(min=0).square() + _FLOOR
    alone = torch.nn.functional.one_hot((member * count).long(), count).to(agreement)
    mean = torch.full_like(alone, 1 / count)
    near = [(unexplained.pow(-p) / unexplained.pow(-p).sum()).expand_as(alone) for p in _POWERS]
    kinds = torch.stack([alone, mean, *near, torch.zeros_like(alone)])
    edges = kind.new_tensor(_LEADS).cumsum(0)
    chosen = torch.searchsorted(edges / edges[-1], kind.contiguous())
    return kinds[chosen, torch.arange(len(kind))]
