"""Refining a front on a search's own models, from what the MetaHypernetwork proposes.

A MetaHypernetwork that is read at a few preferences gives few distinct architectures, and the sum of weighted
objectives that it was trained on does not reach the concave parts of a front. Scoring neighbours by the
models that the search has anyway (supernetwork or surrogate, MetaPredictors) costs neither a training nor a
measurement: each proposal descends along its own preference's sum (`descend`), and of everything met on the
way those are taken that together dominate the largest volume (`select`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from moocore import hv_contributions, is_nondominated
from numpy.typing import NDArray

from modnas.search import indicators
from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint
from modnas.spaces import Architecture, Space

Values = NDArray[np.float64]
# First objective of architectures, (n,), to be minimised.
Losses = Callable[[Sequence[Architecture]], Values]
# Objectives of architectures, (n, M), all minimised and scaled so that weights compare: about 0 to 1.
Score = Callable[[Sequence[Architecture]], Values]


def remembered(losses: Losses) -> Losses:
    """The same losses, each architecture asked for once: one device's front needs what another's needs."""
    known: dict[Architecture, float] = {}

    def look_up(architectures: Sequence[Architecture]) -> Values:
        if new := [a for a in dict.fromkeys(architectures) if a not in known]:
            known.update(zip(new, losses(new).tolist(), strict=True))
        return np.array([known[a] for a in architectures])

    return look_up


def score_on(space: Space, device: SearchDevice, losses: Losses, bounds: tuple[float, float]) -> Score:
    """What a search's models say of architectures on a device; `bounds`: losses that count as 0 and 1."""
    low = np.array([bounds[0], *device.low.tolist()])
    high = np.array([bounds[1], *device.high.tolist()])

    def score(architectures: Sequence[Architecture]) -> Values:
        values = np.column_stack([losses(architectures), device.metrics(space, architectures)])
        return indicators.scale(values, low, high)

    return score


def refine(
    space: Space,
    points: Sequence[FrontPoint],
    score: Score,
    count: int,
    *,
    budget: int | None = None,
    plain: bool = True,
    others: Sequence[Architecture] = (),
) -> list[FrontPoint]:
    """The front of a device: at most `count` architectures, none dominated, the best in the first objective
    last.

    Args:
        points: what the MetaHypernetwork says, at least one.
        budget: architectures to score beside the points (see `descend`); None: as many as there are.
        plain: take every architecture in its plainest form. Not where values belong to a form, as those of
            published tables do.
        others: architectures to choose from besides, in the form in which they are.

    Returns:
        Each with the preference that it answers (see `answered`).
    """
    found, values = look_at(space, points, score, budget=budget, plain=plain, others=others)
    chosen = select(values, count)
    preferences = answered(values[chosen])
    front = [FrontPoint(tuple(row), found[i]) for row, i in zip(preferences.tolist(), chosen, strict=True)]
    return sorted(front, key=lambda point: point.preference[0])


def look_at(
    space: Space,
    points: Sequence[FrontPoint],
    score: Score,
    *,
    budget: int | None = None,
    plain: bool = True,
    others: Sequence[Architecture] = (),
) -> tuple[list[Architecture], Values]:
    """What a refinement chooses a front from: distinct architectures and their objectives, (n, M).

    Arguments as of `refine`.
    """
    found, values = descend(space, points, score, budget=budget, plain=plain)
    met = set(found)
    if new := [a for a in dict.fromkeys(others) if a not in met]:
        found, values = [*found, *new], np.concatenate([values, score(new)])
    return found, values


def descend(
    space: Space,
    points: Sequence[FrontPoint],
    score: Score,
    *,
    rounds: int = 20,
    budget: int | None = None,
    plain: bool = False,
) -> tuple[list[Architecture], Values]:
    """Everything seen on descents of the weighted sums, each by single changes of one decision.

    Args:
        points: where descents begin, each with the weights that it follows; scored whatever the budget.
        rounds: changes that a descent may make.
        budget: architectures to score besides. Descents take turns, preferences far from each other first;
            the last neighbourhood is scored whole.
        plain: as in `refine`.

    Returns:
        Distinct architectures in the order in which they were met, and their objectives, (n, M).
    """
    known: dict[Architecture, Values] = {}

    def look_up(candidates: Iterable[Architecture]) -> None:
        new = [a for a in dict.fromkeys(candidates) if a not in known]
        if new:
            known.update(zip(new, score(new), strict=True))

    def near(architecture: Architecture) -> list[Architecture]:
        around = space.variations(architecture)
        return list(dict.fromkeys(map(space.simplified, around))) if plain else around

    look_up(point.architecture for point in points)
    left = np.inf if budget is None else budget + len(known)
    moving = list(dict.fromkeys(points[i] for i in _far_first(len(points))))
    for _ in range(rounds):
        steps, asked = [], set(known)
        for point in moving:
            if len(asked) >= left:
                break
            steps.append((point, near(point.architecture)))
            asked.update(steps[-1][1])
        look_up(a for _, around in steps for a in around)
        moving = []
        for (weights, at), around in steps:
            best = min(around, key=lambda a, w=weights: float(known[a] @ w), default=at)  # type: ignore[misc]
            if known[best] @ weights < known[at] @ weights:
                moving.append(FrontPoint(weights, best))
        moving = list(dict.fromkeys(moving))
        if not moving:
            break
    return list(known), np.stack(list(known.values()))


def _far_first(count: int) -> list[int]:
    """0 to `count` - 1 in an order whose every beginning is spread over all of them: bits reversed."""
    return sorted(range(count), key=lambda n: format(n, "032b")[::-1])


def select(values: Values, count: int) -> list[int]:
    """Rows of (n, M) that dominate a large volume: at most `count`, none dominated.

    Greedy: of the nondominated points, the one that adds least is dropped until `count` remain. The volume is
    that up to (1, ..., 1), or where the front reaches beyond it, a tenth further than the front. Values below
    0 count in full: 0 is the best of a sample, and the ends of a front lie beyond it.
    """
    kept = np.flatnonzero(is_nondominated(values))
    low, high = values[kept].min(0), values[kept].max(0)
    corner = np.where(high < 1, 1.0, high + 0.1 * (high - low) + 1e-9)
    while len(kept) > count:
        shares = hv_contributions(values[kept], ref=corner)
        kept = np.delete(kept, int(np.argmin(shares)))
    return [int(i) for i in kept]


def answered(values: Values) -> Values:
    """For each point of a front (n, M) the preference that it answers, (n, M), rows that sum to 1.

    With these weights it has the smallest weighted Chebyshev distance from the front's ideal: that holds of
    every point of a front, in a concave part too, for the weights 1 / distance. Distances are relative to the
    front's extent. Source: Steuer and Choo, "An Interactive Weighted Tchebycheff Procedure for Multiple
    Objective Programming", 1983.
    """
    span = np.ptp(values, axis=0)
    distances = (values - values.min(0)) / np.where(span > 0, span, 1.0)
    weights = 1 / np.maximum(distances, 1e-9)
    normalised: Values = weights / weights.sum(1, keepdims=True)
    return normalised
