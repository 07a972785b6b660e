"""Refining a front: Pareto local search on a search's own models, from what the MetaHypernetwork proposes.

A MetaHypernetwork that is read at a few preferences gives few distinct architectures, and the sum of weighted
objectives that it was trained on does not reach the concave parts of a front. Scoring neighbours by the
models that the search has anyway (supernetwork or surrogate, MetaPredictors) costs neither a training nor a
measurement.

Source of the local search: Paquete, Chiarandini and Stuetzle, "Pareto Local Optimum Sets in the Biobjective
Traveling Salesman Problem: An Experimental Study", 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from moocore import is_nondominated
from numpy.typing import NDArray
from torch import Tensor

from modnas.front import FrontPoint
from modnas.spaces import Architecture, Space

Values = NDArray[np.float64]
# Objectives of architectures, (n, M), all minimised.
Score = Callable[[Sequence[Architecture]], Values]

# Weight of the sum beside the maximum (Steuer and Choo, 1983): of two points with one maximum, the better.
_AUGMENTATION = 0.05


def local_search(
    space: Space, start: Iterable[Architecture], score: Score, budget: int
) -> tuple[list[Architecture], Values]:
    """The nondominated architectures found by exploring neighbours of nondominated ones.

    Args:
        start: architectures to begin with, at least one; scored whatever the budget.
        budget: architectures to score besides. The last neighbourhood is scored whole.

    Returns:
        Architectures in the order found and their objectives, (n, M).
    """
    archive = list(dict.fromkeys(start))
    values = score(archive)
    seen, explored = set(archive), set[Architecture]()
    archive, values = _nondominated(archive, values)
    left = budget
    while left > 0:
        current = next((a for a in archive if a not in explored), None)
        if current is None:
            break
        explored.add(current)
        new = [a for a in dict.fromkeys(space.neighbours(current)) if a not in seen]
        if not new:
            continue
        seen.update(new)
        left -= len(new)
        archive, values = _nondominated([*archive, *new], np.concatenate([values, score(new)]))
    return archive, values


def _nondominated(architectures: Sequence[Architecture], values: Values) -> tuple[list[Architecture], Values]:
    keep = is_nondominated(values)
    return [a for a, is_kept in zip(architectures, keep, strict=True) if is_kept], values[keep]


def choose(architectures: Sequence[Architecture], values: Values, preferences: Tensor) -> list[FrontPoint]:
    """For each preference, the architecture nearest to the ideal by augmented weighted Chebyshev distance.

    Unlike a weighted sum, that can choose any point of a front.

    Args:
        values: (n, M), nondominated; scaled here to [0, 1] over the n.
        preferences: (p, M).

    Returns:
        p points in the order of the preferences. Architectures may repeat.
    """
    low, span = values.min(0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    weighted = preferences.double().numpy()[:, None, :] * scaled
    distances = weighted.max(2) + _AUGMENTATION * weighted.sum(2)
    return [
        FrontPoint(tuple(preference), architectures[int(row.argmin())])
        for preference, row in zip(preferences.tolist(), distances, strict=True)
    ]
