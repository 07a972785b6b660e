"""Regularised evolution (Real et al., 2019) for several objectives.

Tournaments compare a scalarisation with fresh random weights, as ParEGO does (Knowles, 2006): the augmented
Chebyshev function of the objectives, scaled to what was seen so far.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from modnas.baselines.base import Problem
from modnas.search import indicators
from modnas.spaces import Architecture

POPULATION = 8
TOURNAMENT = 4
_AUGMENTATION = 0.05  # weight of the sum beside the maximum; Knowles' value


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Mutate the winner of a tournament, let the oldest die; see `registry.Method`."""
    draw = np.random.default_rng(seed)
    population = deque(problem.unseen(min(POPULATION, budget), draw))
    problem.evaluate(list(population))
    while problem.evaluations < budget:
        rivals = [
            population[i]
            for i in draw.choice(len(population), min(TOURNAMENT, len(population)), replace=False)
        ]
        # A parent all of whose neighbours are known has nothing left to give.
        child = next(iter(problem.neighbours(_winner(problem, rivals, draw), draw)), None)
        child = child or problem.unseen(1, draw)[0]
        problem.evaluate([child])
        population.append(child)
        population.popleft()
    return problem.evaluated


def _winner(problem: Problem, rivals: list[Architecture], draw: np.random.Generator) -> Architecture:
    seen = problem.values()
    scaled = indicators.scale(problem.evaluate(rivals), seen.min(0), seen.max(0))
    weighted = scaled * draw.dirichlet(np.ones(scaled.shape[1]))
    return rivals[int((weighted.max(1) + _AUGMENTATION * weighted.sum(1)).argmin())]
