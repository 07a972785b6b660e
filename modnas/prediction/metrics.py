"""How good predictions are: order and relative size. All take (n,) arrays and raise ValueError if n < 2."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, spearmanr


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"need two vectors of one length, 2 or more: not {a.shape} and {b.shape}")
    return a, b


def spearman(predicted: ArrayLike, true: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1, higher is better; NaN if one side is constant."""
    return float(spearmanr(*_pair(predicted, true)).statistic)


def kendall(predicted: ArrayLike, true: ArrayLike) -> float:
    """Kendall's tau-b, -1 to 1, higher is better; NaN if one side is constant."""
    return float(kendalltau(*_pair(predicted, true)).statistic)


def _relative(predicted: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    a, b = _pair(predicted, true)
    if not (b > 0).all():
        raise ValueError("relative errors need true values above 0")
    return np.asarray(np.abs(a - b) / b)


def hit_rate(predicted: ArrayLike, true: ArrayLike, tolerance: float = 0.1) -> float:
    """Share of predictions within +-`tolerance` of the true value, relative; 0 to 1, higher is better."""
    return float((_relative(predicted, true) <= tolerance).mean())


def mean_relative_error(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean of |predicted - true| / true; 0 is perfect."""
    return float(_relative(predicted, true).mean())
