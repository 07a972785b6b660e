"""Searches under a bound as baselines: one architecture for each of many bounds on the predicted metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from modnas.baselines.base import BaselineError, Model, Problem
from modnas.spaces import Architecture, Space

BROKEN = 1e3  # rates below every error: what breaks its bound, the further the worse
_SAMPLE = 1000  # architectures that give the metric's range
_ROUNDS = 3  # of bounds; after the first, where some led to the same architecture


class Search(Protocol):
    """A search for the least error under each of some bounds: one architecture a bound, in their order."""

    def __call__(
        self, space: Space, error: Model, latency: Model, bounds: Sequence[float], /, *, seed: int
    ) -> list[Architecture]: ...


def run_under_bounds(
    problem: Problem, budget: int, seed: int, search: Search, *, gradients: bool = False
) -> list[Architecture]:
    """Search under `budget` bounds, evenly spaced over the predicted metric's range in a random sample.

    Where two bounds lead to the same architecture, random bounds follow, and in the end random architectures,
    until `budget` distinct ones are there; see `registry.Method`. `gradients`: the search takes gradients of
    the models; else they are asked for each architecture once.
    """
    error, metric, space = problem.error_model(seed), problem.metric_model(seed), problem.space
    if metric is None:
        raise BaselineError(f"{problem.device}: a search under bounds needs a model of the metric")
    count = min(_SAMPLE, max(1, space.size // 2))
    sample = space.sample(count, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        low, high = (float(value) for value in metric(space.encode(sample)).aminmax())
    if not gradients:
        error, metric = remembered(error), remembered(metric)
    draw = np.random.default_rng(seed)
    bounds = np.linspace(low, high, budget)
    found: dict[Architecture, None] = {}
    problem.searches = 0
    for _ in range(_ROUNDS):
        problem.searches += len(bounds)
        found.update(dict.fromkeys(search(space, error, metric, bounds.tolist(), seed=seed)))
        if len(found) >= budget:
            break
        bounds = draw.uniform(low, high, budget - len(found))
    problem.evaluate([a for a in found if space.is_usable(a)])
    if problem.evaluations < budget:
        problem.evaluate(problem.unseen(budget - problem.evaluations, draw))
    return problem.evaluated


def remembered(model: Model) -> Model:
    """The same model without gradients, asked for each architecture once: populations hold many twice."""
    known: dict[bytes, float] = {}

    @torch.no_grad()
    def ask(onehot: Tensor) -> Tensor:
        keys = [row.tobytes() for row in onehot.bool().numpy()]
        new = {key: i for i, key in enumerate(keys) if key not in known}
        if new:
            known.update(zip(new, model(onehot[list(new.values())]).tolist(), strict=True))
        return torch.tensor([known[key] for key in keys])

    return ask


def excess_of(space: Space, metric: Model) -> Callable[[Tensor, Tensor], Tensor]:
    """How far architectures break their bounds, relative to these: (n, decisions), (n,) -> (n,).

    Not above 0: the bound is kept. Infinite for those that are not usable.
    """
    usable: dict[tuple[int, ...], bool] = {}

    def is_usable(row: tuple[int, ...]) -> bool:
        if row not in usable:
            usable[row] = space.is_usable(space.architecture(row))
        return usable[row]

    def excess(choices: Tensor, limits: Tensor) -> Tensor:
        relative = (metric(space.encode_choices(choices)) - limits) / limits
        if space.unusable is None:
            return relative
        keep = torch.tensor([is_usable(tuple(row)) for row in choices.tolist()])
        return torch.where(keep, relative, torch.inf)

    return excess
