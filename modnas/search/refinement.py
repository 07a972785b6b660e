"""Refining a front on a search's own models, from what the MetaHypernetwork proposes.

A MetaHypernetwork that is read at a few preferences gives few distinct architectures, and the sum of weighted
objectives that it was trained on does not reach the concave parts of a front. Scoring neighbours by the
models that the search has anyway (supernetwork or surrogate, MetaPredictors) costs neither a training nor a
measurement.

Two ways. `local_search` explores all neighbours of nondominated architectures and `choose` takes one a
preference: for runs on devices, where architectures are kept in plainest form and a user asks by preference.
`descend` follows each preference's own sum, and `select` takes a set with a large volume: for a front
of a fixed size that is judged by its hypervolume, as the benchmark's.

Source of the local search: Paquete, Chiarandini and Stuetzle, "Pareto Local Optimum Sets in the Biobjective
Traveling Salesman Problem: An Experimental Study", 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from moocore import hv_contributions, is_nondominated
from numpy.typing import NDArray
from torch import Tensor

from modnas.search.front import FrontPoint
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


def descend(
    space: Space, points: Sequence[FrontPoint], score: Score, rounds: int = 20
) -> tuple[list[FrontPoint], Values]:
    """Everything seen on descents of the weighted sums, each by single changes of one decision.

    Args:
        points: where descents begin, each with the weights that it follows.
        score: scaled so that weights compare: the range of every objective is about 0 to 1.
        rounds: changes that a descent may make.

    Returns:
        Distinct architectures, each with a preference that led to it, and their objectives, (n, M).
    """
    known: dict[Architecture, Values] = {}
    origin: dict[Architecture, tuple[float, ...]] = {}

    def look_up(candidates: Iterable[FrontPoint]) -> None:
        for preference, architecture in candidates:
            origin.setdefault(architecture, preference)
        new = [a for a in origin if a not in known]
        if new:
            known.update(zip(new, score(new), strict=True))

    look_up(points)
    moving = list(dict.fromkeys(points))
    for _ in range(rounds):
        steps = [(point, space.variations(point.architecture)) for point in moving]
        look_up(FrontPoint(point.preference, near) for point, around in steps for near in around)
        moving = []
        for (weights, at), around in steps:
            best = min(around, key=lambda a, w=weights: float(known[a] @ w), default=at)  # type: ignore[misc]
            if known[best] @ weights < known[at] @ weights:
                moving.append(FrontPoint(weights, best))
        moving = list(dict.fromkeys(moving))
        if not moving:
            break
    return [FrontPoint(origin[a], a) for a in known], np.stack(list(known.values()))


def select(values: Values, count: int) -> list[int]:
    """Rows of (n, M) that dominate a large volume up to (1, ..., 1): at most `count`, none dominated.

    Greedy: of the nondominated points, the one that adds least is dropped until `count` remain. Values below
    0 count in full: 0 is the best of a sample, and the ends of a front lie beyond it.
    """
    kept = np.flatnonzero(is_nondominated(values))
    while len(kept) > count:
        shares = hv_contributions(values[kept], ref=np.ones(values.shape[1]))
        kept = np.delete(kept, int(np.argmin(shares)))
    return [int(i) for i in kept]
