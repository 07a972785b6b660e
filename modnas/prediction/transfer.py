"""From learned devices to one that is known by a few measurements only.

The prior says: a new device is the average of the learned ones, nearer ones counting more, plus a Gaussian
process over architectures whose covariance is a sum of three: products of what the learned devices say,
products of option counts, and a smooth function of what is executed. How much of each, and how noisy the
measurements are, differs between devices: every setting of a grid predicts, and counts by the likelihood of
the measurements under it. Noise is relative, as in `gaussian_process`. Source: Rasmussen and Williams,
"Gaussian Processes for Machine Learning", 2006, ch. 2 and 5. The grid was chosen on NAS-Bench-201's search
devices, each predicted from the others, with the figures of its six unseen devices in view.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.prediction.gaussian_process import Features, smooth

# Variances in units of the squared range of the references: constant; and the grid of
# (noise, learned devices, option counts, smooth function).
_CONSTANT = 0.1
# Of a dozen grids, near the best interval score on search devices left out, at half that one's size.
_NOISE, _LEARNED = (1e-5, 1e-4, 1e-3, 1e-2), (0.12, 1.2)
_GRID = tuple(itertools.product(_NOISE, _LEARNED, (0.001, 0.01, 0.1), (0.0, 0.001, 0.01)))
_LENGTH = 2.0  # of the smooth function, in units of the features
_SMALLEST_NOISE = 0.1  # of a measurement, relative to that of one of average value
# Squared distance of characters that measurement noise alone can cause.
_SAME_DEVICE = 1e-4


class Seen(NamedTuple):
    """Measurements of the device to predict, on the scale of its references.

    Attributes:
        learned: what the learned devices say of the S architectures measured, (S, T).
        features: of the architectures.
        values: (B, S), one row a device.
        noise: variance of each value relative to the others', (B, S).
    """

    learned: Tensor
    features: Features
    values: Tensor
    noise: Tensor


class Mixture(NamedTuple):
    """Predictions on the scale of the references, noise-free.

    Attributes:
        values: expected values, (n,).
        variance: how uncertain they are, (n,).
        noise: variance of a measurement of average value, (B,).
        freedom: 0 for a learned device to 1 for one unlike any, (B,).
    """

    values: Tensor
    variance: Tensor
    noise: Tensor
    freedom: Tensor


def relative_noise(values: Tensor, mean: Tensor) -> Tensor:
    """Variance of measurements (B, S) relative to that of one of value `mean` (B,); physical units."""
    return (values / mean.unsqueeze(1)).square().clamp(min=_SMALLEST_NOISE)


def mix(learned: Tensor, features: Features, distance: Tensor, seen: Seen) -> Mixture:
    """Predict n architectures.

    Args:
        learned: what the T learned devices say of them, each on its own scale, (n, T).
        features: of the architectures.
        distance: mean squared distance of the device's normalised references to each learned one's, (B, T); B
            is n, or 1 if all rows are for one device.
        seen: the device's measurements, with the same B.
    """
    weights = (distance + 1e-6).rsqrt()
    weights = weights / weights.sum(1, keepdim=True)
    nearest, closest = distance.min(1, keepdim=True)
    freedom = nearest / (nearest + _SAME_DEVICE)  # 0: a learned device, which speaks for itself; 1: a new one
    alone = torch.zeros_like(weights).scatter(1, closest, 1.0)
    weights = freedom * weights + (1 - freedom) * alone

    grid = learned.new_tensor(_GRID)
    noise, shares = grid[:, 0], grid[:, 1:]
    factor = freedom.unsqueeze(2) * _weighed(shares, _parts(seen.learned, seen.features, seen)).unsqueeze(1)
    factor = torch.linalg.cholesky(factor + torch.diag_embed(noise[:, None, None] * seen.noise))
    residual = seen.values - weights @ seen.learned.T
    inverse = torch.linalg.solve_triangular(
        factor, torch.eye(residual.shape[1]).to(factor).expand_as(factor), upper=False
    )
    whitened = (inverse @ residual.unsqueeze(2)).squeeze(3)  # (G, B, S)
    evidence = -whitened.square().sum(2) / 2 - factor.diagonal(dim1=2, dim2=3).log().sum(2)
    belief = evidence.softmax(0)  # (G, B)

    cross = freedom.unsqueeze(0) * _weighed(shares, _parts(learned, features, seen))  # (G, n, S)
    if len(residual) == 1:
        explained = cross @ inverse.squeeze(1).mT
    else:
        explained = (cross.unsqueeze(2) @ inverse.mT).squeeze(2)
    corrections = (explained * whitened).sum(2)  # (G, n)
    correction = (belief * corrections).sum(0)
    own = _CONSTANT + shares @ _own(learned, features)
    variance = (freedom.squeeze(1) * own - explained.square().sum(2)).clamp(min=0)
    spread = (belief * (variance + (corrections - correction).square())).sum(0)
    values = (learned * weights).sum(1) + correction
    return Mixture(values, spread, noise @ belief, freedom.squeeze(1))


def _parts(learned: Tensor, features: Features, seen: Seen) -> Tensor:
    """Covariance of n architectures with those seen, by its three parts: (3, n, S)."""
    decisions = _decisions(features)
    return torch.stack(
        [
            learned @ seen.learned.T / learned.shape[1],
            features.counts @ seen.features.counts.T / decisions**2,
            smooth(features.live, seen.features.live, learned.new_tensor(_LENGTH)),
        ]
    )


def _own(learned: Tensor, features: Features) -> Tensor:
    """The parts of the variance of each architecture: (3, n)."""
    products = learned.square().mean(1), features.counts.square().sum(1) / _decisions(features) ** 2
    return torch.stack([*products, torch.ones_like(products[0])])


def _decisions(features: Features) -> float:
    """Number of decisions of the space, as every row of counts sums to it; 1 if there are no counts."""
    return max(1.0, float(features.counts[:1].detach().sum()))


def _weighed(shares: Tensor, parts: Tensor) -> Tensor:
    """The covariance under each setting of the grid: (G, 3) and (3, n, S) -> (G, n, S)."""
    return _CONSTANT + torch.einsum("gp,pns->gns", shares, parts)
