"""Which networks of a front are worth training to the end, told from their first epochs (MODNAS-SoTL).

Networks that learn fast in the beginning are good in the end (Ru et al., "Speedy Performance Estimation for
Neural Architecture Search", 2021): the moving average of the first epochs' training losses ranks them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from modnas.search import indicators

# As many epochs as the paper looks at, and how much of the average an epoch leaves to those before it.
EPOCHS = 12
_DECAY = 0.9


def score(losses: Sequence[float], epochs: int = EPOCHS) -> float:
    """Exponential moving average of the first epochs' mean training losses; smaller is better.

    Raises ValueError when there is no loss.
    """
    if not losses:
        raise ValueError("no training loss to score")
    average = losses[0]
    for loss in losses[1:epochs]:
        average = _DECAY * average + (1 - _DECAY) * loss
    return average


def kept(scores: ArrayLike, metrics: ArrayLike) -> list[int]:
    """Positions of the networks to train: those that no other beats in score and metrics together.

    Args:
        scores: (n,), smaller is better.
        metrics: hardware metrics (n, M - 1), smaller is better.
    """
    points = np.column_stack([np.asarray(scores, np.float64), np.asarray(metrics, np.float64)])
    return [int(i) for i in np.flatnonzero(indicators.non_dominated(points))]
