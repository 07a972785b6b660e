"""MetaD2A + HELP (Lee et al., 2021): the most accurate proposed architectures under latency constraints.

MetaD2A proposes architectures for the task with a score of their accuracy; HELP predicts their latency on
the device from ten measurements, those of the reference architectures.
"""

from __future__ import annotations

import numpy as np

from modnas.baselines.base import BaselineError, Problem
from modnas.spaces import Architecture


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """One architecture for each of `budget` evenly spaced bounds on the predicted latency.

    The bounds go from the fastest proposal to the slowest. Under each the best-scored proposal is taken that
    no tighter bound has taken already: two bounds with one best architecture would waste an evaluation. See
    `registry.Method`.
    """
    if problem.proposals is None:
        raise BaselineError(f"{problem.device}: help needs MetaD2A's proposals for the task")
    candidates = problem.proposals.architectures
    if len(set(candidates)) < budget:
        raise BaselineError(f"help chooses {budget} of {len(set(candidates))} proposals; lower the budget")
    latency = problem.proposals.predictor(seed).predict(candidates, problem.references)
    by_score = np.argsort(-np.asarray(problem.proposals.scores), kind="stable")
    chosen: dict[Architecture, None] = {}
    problem.searches = budget
    for bound in np.linspace(latency.min(), latency.max(), budget):
        open_indices = [i for i in by_score if candidates[i] not in chosen]
        allowed = [i for i in open_indices if latency[i] <= bound]
        pick = allowed[0] if allowed else min(open_indices, key=lambda i: float(latency[i]))
        chosen[candidates[pick]] = None
    problem.evaluate(list(chosen))
    return problem.evaluated
