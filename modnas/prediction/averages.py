"""Latency of a transformer from HAT's ten averages over layers, when nothing else of it is known.

A regression on terms that follow from what is computed: an encoder of a width and its feed-forward parts, a
decoder the same times its layers, attention by heads and attended layers. The device may have been faster or
slower while it was measured: by which factor is seen from what was measured just before and after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
# Measurements before and after one that say how fast the device was.
_NEIGHBOURS = 8
_ROUNDS = 5
_RIDGE = 1e-4


def terms(features: Tensor) -> Tensor:
    """Terms of the regression, (n, 18), differentiable, of `hat_features` (n, 10)."""
    e, _, e_ffn, e_heads, d, depth, d_ffn, d_heads, cross_heads, attended = features.double().unbind(-1)
    e, e_ffn, d, d_ffn = e / 640, e_ffn / 3072, d / 640, d_ffn / 3072
    e_heads, d_heads, cross_heads = e_heads / 8, d_heads / 8, cross_heads / 8
    encoder = [e, e_ffn, e * e_ffn, e_heads]
    layer = [torch.ones_like(d), d, d_ffn, d * d_ffn, d_heads, cross_heads, attended, attended * e]
    return torch.stack(
        [*encoder, d, depth * depth, *(depth * t for t in layer), attended, d_ffn, d_heads, e * d], -1
    )


@dataclass(frozen=True)
class AveragesPredictor:
    """Latency in ms is `terms(features) @ weights + bias`, at the device's usual speed."""

    weights: Tensor
    bias: float

    def __call__(self, features: Tensor) -> Tensor:
        """(n, 10) -> (n,), differentiable."""
        return terms(features) @ self.weights + self.bias


def fit_averages(features: Floats, values: Floats) -> AveragesPredictor:
    """Ridge regression in relative error: values (n,) of features (n, 10)."""
    x = terms(torch.from_numpy(features)).numpy()
    mean, sd = x.mean(0), x.std(0) + 1e-12
    scaled = np.concatenate([np.ones((len(x), 1)), (x - mean) / sd], 1) / values[:, None]
    penalty = _RIDGE * len(x) * np.mean(scaled**2) * np.eye(scaled.shape[1])
    penalty[0, 0] = 0
    found = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ np.ones(len(x)))
    weights = found[1:] / sd
    return AveragesPredictor(torch.from_numpy(weights), float(found[0] - mean @ weights))


def fit_with_drift(
    features: Floats, values: Floats, known: NDArray[np.int64]
) -> tuple[AveragesPredictor, Floats]:
    """Fit on the rows `known` of measurements in their order in time.

    Regression and drift in turns: of each row, the factor is the median of measured / predicted over the
    known rows around it, itself left out.

    Returns:
        The predictor at the device's usual speed (median factor 1), and every row's factor, (n,).
    """
    factors = np.ones(len(values))
    predictor = fit_averages(features[known], values[known])
    for _ in range(_ROUNDS):
        factors = _drift(predictor, features, values, known)
        factors /= np.median(factors)
        predictor = fit_averages(features[known], values[known] / factors[known])
    return predictor, factors


def _drift(
    predictor: AveragesPredictor, features: Floats, values: Floats, known: NDArray[np.int64]
) -> Floats:
    ordered = np.sort(known)
    ratios = values[ordered] / predictor(torch.from_numpy(features[ordered])).numpy()
    factors = np.empty(len(values))
    for row in range(len(values)):
        place = int(np.searchsorted(ordered, row))
        inside = place < len(ordered) and ordered[place] == row
        around = [*range(place - _NEIGHBOURS, place), *range(place + inside, place + inside + _NEIGHBOURS)]
        factors[row] = np.median(ratios[[n for n in around if 0 <= n < len(ordered)]])
    return factors
