"""Which architectures to evaluate next: those that may lie on the front of a device.

Drawn at random, most of a budget is spent on architectures that no front will ever hold. A model of the error
that is fitted on a first random part says, with the hardware metrics that are known or predicted, where the
fronts run; the rest is spent there, in rounds, the model fitted anew after each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from modnas.search import indicators
from modnas.spaces import Architecture, Space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Errors of architectures, percent, (n,): true ones, each call to be counted.
Evaluate = Callable[[Sequence[Architecture]], Floats]
# A model fitted on architectures and their errors: what it expects of every candidate, percent, (n,).
Fit = Callable[[Sequence[Architecture], Floats], Floats]


# Of a space with more architectures than this, so many are drawn to choose from.
_POOL = 20_000


def candidates(space: Space, seed: int, *, plain: bool) -> list[Architecture]:
    """Usable architectures to choose from: all of a small space, a uniform sample of a large one.

    `plain`: in plainest form, each network once (see `Space.simplified`).
    """
    if math.prod(space.options) <= _POOL:
        every = (space.architecture(choices) for choices in itertools.product(*map(range, space.options)))
        found = [architecture for architecture in every if space.is_usable(architecture)]
    else:
        found = space.sample(_POOL, torch.Generator().manual_seed(seed))
    return list(dict.fromkeys(map(space.simplified, found))) if plain else found


def evaluate_actively(
    candidates: Sequence[Architecture],
    metrics: Sequence[Floats],
    evaluate: Evaluate,
    fit: Fit,
    *,
    budget: int,
    start: int,
    rounds: int,
    seed: int = 0,
) -> list[Architecture]:
    """Spend a budget of evaluations where the fronts of some devices are expected.

    Args:
        candidates: n distinct architectures to choose from.
        metrics: for each device the hardware metrics of all candidates, to be minimised, (n, M - 1).
        budget: evaluations in all, of which `start` are drawn uniformly and the rest in `rounds` parts.
        seed: of the draws.

    Returns:
        The architectures evaluated, `budget` distinct ones, in the order of their choice.

    Raises:
        ValueError: a budget beyond the candidates, or fewer evaluations than rounds.
    """
    if not 0 < start <= budget <= len(candidates) or rounds > budget - start:
        raise ValueError(
            f"{budget} evaluations, the first {start} at random and the others in {rounds} rounds, "
            f"cannot be spent on {len(candidates)} candidates"
        )
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(candidates))[:start]
    errors = evaluate([candidates[i] for i in chosen])
    for count in _shares(budget - start, rounds):
        expected = fit([candidates[i] for i in chosen], errors).copy()
        expected[chosen] = errors
        fronts = [np.column_stack([expected, metric]) for metric in metrics]
        added = promising(fronts, chosen, count, generator)
        errors = np.concatenate([errors, evaluate([candidates[i] for i in added])])
        chosen = np.concatenate([chosen, added])
    return [candidates[i] for i in chosen]


def promising(objectives: Sequence[Floats], known: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Candidates on the first fronts of the devices, of which the last that is needed is drawn from.

    Args:
        objectives: for each device (n, M), minimised.
        known: rows that are not asked for again; they still dominate others.

    Returns:
        `count` distinct rows.
    """
    taken: dict[int, None] = {}
    skipped = set(known.tolist())
    for layers in zip(*(_layers(points) for points in objectives), strict=True):
        layer = dict.fromkeys(int(i) for rows in layers for i in rows)
        new = [i for i in layer if i not in taken and i not in skipped]
        if len(taken) + len(new) > count:
            new = generator.choice(new, count - len(taken), replace=False).tolist()
        taken.update(dict.fromkeys(new))
        if len(taken) == count:
            break
    return np.array(list(taken), dtype=np.int64)


def _layers(points: Floats) -> Iterator[Ints]:
    """Rows of the nondominated points, of those that are nondominated without them, and so on; then nothing
    for ever, because devices differ in the number of their layers."""
    left = np.arange(len(points))
    while True:
        best = indicators.non_dominated(points[left])
        yield left[best]
        left = left[~best]


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (k < total % parts) for k in range(parts)]
