"""Random hypernetwork: what the MetaHypernetwork says before it has learnt anything."""

from __future__ import annotations

import torch

from modnas.baselines.base import BaselineError, Problem
from modnas.prediction.device_vectors import device_vector
from modnas.search import preferences
from modnas.search.front import read_front
from modnas.search.hypernetwork import MetaHypernetwork
from modnas.spaces import Architecture

_ROUNDS = 100  # of as many random preferences as the budget, when some led to the same architecture


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Read an untrained, randomly initialised MetaHypernetwork at evenly spread preferences.

    Where two preferences lead to the same architecture, random preferences follow until `budget` distinct
    ones are there; see `registry.Method`.
    """
    generator = torch.Generator().manual_seed(seed)
    features = device_vector([problem.references])
    objectives = problem.objectives
    hypernetwork = MetaHypernetwork(problem.space.options, len(features), objectives, generator=generator)
    rows = preferences.spread(max(budget, objectives), objectives)
    found: dict[Architecture, None] = {}
    for _ in range(_ROUNDS):
        front = read_front(hypernetwork, problem.space, features, rows)
        found.update(dict.fromkeys(point.architecture for point in front))
        if len(found) >= budget:
            problem.evaluate(list(found)[:budget])
            return problem.evaluated
        rows = preferences.sample(budget, objectives, generator)
    raise BaselineError(f"{problem.device}: a random MetaHypernetwork knows only {len(found)} architectures")
