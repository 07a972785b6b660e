"""Improving a front by what the search already knows: its predictions. No architecture is evaluated for it.

A MetaHypernetwork gives an architecture a preference. From each of them a descent over single changes of one
decision follows the same scalarised objective, and of everything predicted on the way those are kept that
dominate the largest volume together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from modnas import indicators
from modnas.front import FrontPoint
from modnas.spaces import Architecture, Space

Floats = NDArray[np.float64]
# n architectures -> predicted objectives, scaled so that 0 to 1 is their range: (n, M), to be minimised.
Objectives = Callable[[Sequence[Architecture]], Floats]


def refine_front(
    space: Space, points: Sequence[FrontPoint], objectives: Objectives, count: int, rounds: int = 20
) -> list[FrontPoint]:
    """At most `count` architectures, none predicted to be dominated, each with a preference that led to it.

    Args:
        points: a front as it was read.
        objectives: the predictions for the device in question.
        rounds: changes of one decision that a descent may make.
    """
    known: dict[Architecture, Floats] = {}
    origin: dict[Architecture, tuple[float, ...]] = {}

    def look_up(candidates: list[tuple[Architecture, tuple[float, ...]]]) -> None:
        for architecture, preference in candidates:
            origin.setdefault(architecture, preference)
        new = [a for a in dict.fromkeys(a for a, _ in candidates) if a not in known]
        if new:
            known.update(zip(new, objectives(new), strict=True))

    look_up([(point.architecture, point.preference) for point in points])
    moving = list(dict.fromkeys((point.preference, point.architecture) for point in points))
    for _ in range(rounds):
        steps = [(r, at, neighbours(space, at)) for r, at in moving]
        look_up([(near, r) for r, _, around in steps for near in around])
        moving = []
        for r, at, around in steps:
            best = min(around, key=lambda a, r=r: float(known[a] @ r))  # type: ignore[misc]
            if known[best] @ r < known[at] @ r:
                moving.append((r, best))
        moving = list(dict.fromkeys(moving))
        if not moving:
            break
    names = list(known)
    chosen = select(np.stack([known[name] for name in names]), count)
    return sorted(
        (FrontPoint(origin[names[i]], names[i]) for i in chosen), key=lambda point: point.preference
    )


def neighbours(space: Space, architecture: Architecture) -> list[Architecture]:
    """All usable architectures that differ in one decision."""
    found = []
    for decision, options in enumerate(space.options):
        for option in range(options):
            if option != architecture.choices[decision]:
                choices = list(architecture.choices)
                choices[decision] = option
                found.append(space.architecture(choices))
    return [near for near in found if space.is_usable(near)]


def select(objectives: Floats, count: int) -> list[int]:
    """Rows of (n, M) that dominate a large volume up to (1, ..., 1): at most `count`, none dominated.

    Greedy: of the points that nothing dominates, the one that adds least is dropped until `count` remain.
    """
    clipped = objectives.clip(min=0)
    kept = np.flatnonzero(indicators.non_dominated(objectives))
    kept = kept[np.unique(objectives[kept], axis=0, return_index=True)[1]]
    while len(kept) > count:
        shares = moocore.hv_contributions(clipped[kept], ref=np.ones(objectives.shape[1]))
        kept = np.delete(kept, int(np.argmin(shares)))
    return [int(i) for i in kept]
