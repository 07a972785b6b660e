"""Pareto local search (Paquete et al., 2004) that accepts the first improvement.

Local search is a strong baseline in NAS (White et al., 2021). The neighbours of an architecture differ from
it in one decision. An architecture of the front whose neighbourhood is not known yet is explored; the first
neighbour that dominates it is explored next in its place (Dubois-Lacoste et al., 2015, for little time).
"""

from __future__ import annotations

import numpy as np

from modnas.baselines.base import Problem
from modnas.search import indicators
from modnas.spaces import Architecture

STARTS = 4


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Explore from random starts, and from a new one when the front is exhausted; see `registry.Method`."""
    draw = np.random.default_rng(seed)
    problem.evaluate(problem.unseen(min(STARTS, budget), draw))
    explored: set[Architecture] = set()
    while problem.evaluations < budget:
        front = indicators.non_dominated(problem.values())
        open_points = [
            a for a, best in zip(problem.evaluated, front, strict=True) if best and a not in explored
        ]
        if not open_points:
            problem.evaluate(problem.unseen(1, draw))
            continue
        current: Architecture | None = open_points[int(draw.integers(len(open_points)))]
        while current is not None:
            explored.add(current)
            current = _first_improvement(problem, current, budget, draw)
    return problem.evaluated


def _first_improvement(
    problem: Problem, current: Architecture, budget: int, draw: np.random.Generator
) -> Architecture | None:
    """Evaluate neighbours until one dominates `current`, which is returned, or the budget is spent."""
    own = problem.evaluate([current])[0]
    for neighbour in problem.neighbours(current, draw):
        if problem.evaluations >= budget:
            return None
        values = problem.evaluate([neighbour])[0]
        if (values <= own).all() and (values < own).any():
            return neighbour
    return None
