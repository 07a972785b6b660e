"""LEMONADE: evolution in which cheap objectives decide what is evaluated.

Source: Elsken, Metzen and Hutter, "Efficient Multi-Objective Neural Architecture Search via Lamarckian
Evolution", ICLR 2019. The population is the front so far. A kernel density over its cheap objectives says
where it is dense; parents are drawn with probability inverse to it, and of their children, many more than can
be evaluated, those that are evaluated are drawn likewise: so the gaps of the front are filled.

Cheap are the predicted hardware metric, where the problem has a model of it, and the size of the network. A
child differs from its parent in one decision: it grows as by a network morphism, or shrinks as by an
approximate one. Where networks are trained, its training may start from its parent's weights, which a problem
is told (`Problem.descends`); on tables it is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.neighbors import KernelDensity

from modnas.baselines.base import Floats, Model, Problem
from modnas.search import indicators
from modnas.spaces import Architecture, Space

START = 4  # random architectures in place of the authors' simple ones
# Of so many children of a generation so many are evaluated.
CHILDREN, ACCEPTED = 40, 4
_LEAST_CHANCE = -30.0  # logarithm, relative to the largest


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Generations of 4 evaluations, the last one cut short; see `registry.Method`."""
    draw, metric = np.random.default_rng(seed), problem.metric_model(seed)
    problem.evaluate(problem.unseen(min(START, budget), draw))
    while problem.evaluations < budget:
        best = indicators.non_dominated(problem.values())
        front = [a for a, kept in zip(problem.evaluated, best, strict=True) if kept]
        known = cheap_objectives(problem.space, front, metric)
        parents = draw.choice(len(front), CHILDREN, p=_inverse_density(known, known))
        # A parent all of whose neighbours are known has nothing left to give.
        born = {child: front[i] for i in parents for child in problem.neighbours(front[i], draw)[:1]}
        children = list(born) or problem.unseen(1, draw)
        chances = _inverse_density(known, cheap_objectives(problem.space, children, metric))
        count = min(ACCEPTED, len(children), budget - problem.evaluations)
        accepted = draw.choice(len(children), count, replace=False, p=chances)
        chosen = [children[i] for i in accepted]
        for child in chosen:
            if child in born:
                problem.descends(child, born[child])
        problem.evaluate(chosen)
    return problem.evaluated


def cheap_objectives(space: Space, architectures: Sequence[Architecture], metric: Model | None) -> Floats:
    """Logarithms of what is known without an evaluation, (n, 1 or 2): the size, and the metric if predicted.

    The size is multiply-adds, or parameters where the space does not tell these.
    """
    size = space.multiply_adds(architectures)
    if size is None:
        size = torch.tensor([_parameters(space, a) for a in architectures], dtype=torch.float64)
    columns = [size.numpy()]
    if metric is not None:
        with torch.no_grad():
            columns.append(metric(space.encode(architectures)).double().numpy())
    logarithms: Floats = np.log(np.maximum(np.column_stack(columns), 1e-9))
    return logarithms


def _parameters(space: Space, architecture: Architecture) -> float:
    return float(sum(p.numel() for p in space.network(architecture).parameters()))


def _inverse_density(population: Floats, points: Floats) -> Floats:
    """Chances of points (n, C) that sum to 1, inverse to the density of a population (m, C) there."""
    middle, spread = population.mean(0), population.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    density = KernelDensity(bandwidth="scott").fit((population - middle) / spread)
    log_inverse = -density.score_samples((points - middle) / spread)
    # No chance is 0: where few stand out, others are drawn after them.
    chances: Floats = np.exp(np.maximum(log_inverse - log_inverse.max(), _LEAST_CHANCE))
    chances /= chances.sum()
    return chances
