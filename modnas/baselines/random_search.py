"""Random search: as many distinct usable architectures as may be evaluated."""

from __future__ import annotations

import numpy as np

from modnas.baselines.base import Problem
from modnas.spaces import Architecture


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Evaluate `budget` architectures drawn uniformly; see `registry.Method`."""
    problem.evaluate(problem.unseen(budget, np.random.default_rng(seed)))
    return problem.evaluated
