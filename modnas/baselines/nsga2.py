"""NSGA-II (Deb et al., 2002) as pymoo implements it, on one integer variable a decision.

Options have no order, so crossover swaps decisions and mutation draws an option anew; blending or perturbing
their numbers, as for integers with a meaning, would say that neighbouring numbers are alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem as IntegerProblem
from pymoo.core.repair import Repair
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from modnas.baselines.base import Problem
from modnas.spaces import Architecture

POPULATION = 8
_BARREN = 5  # generations without anything new before random architectures take over

Integers = npt.NDArray[np.int64]


class _RedrawOption(Mutation):  # type: ignore[misc]
    """Each decision gets a random option with probability 1 / number of decisions."""

    def __init__(self, options: tuple[int, ...]) -> None:
        super().__init__(prob=1.0)
        self.options = np.array(options)

    def _do(self, problem: Any, X: Integers, *args: Any, random_state: Any = None, **kwargs: Any) -> Integers:
        redrawn = random_state.integers(0, self.options, size=X.shape)
        return np.where(random_state.random(X.shape) < 1 / X.shape[1], redrawn, X)


class _OnlyUsable(Repair):  # type: ignore[misc]
    """Replaces architectures whose output does not depend on their input by random ones."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def _do(self, problem: Any, X: Integers, random_state: Any = None, **kwargs: Any) -> Integers:
        space = self.problem.space
        for i, row in enumerate(X):
            if not space.is_usable(space.architecture(row.tolist())):
                X[i] = self.problem.unseen(1, random_state)[0].choices
        return X


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Generations of 8 until the budget is spent, the last one cut short; see `registry.Method`."""
    options = problem.space.options
    size = min(POPULATION, budget)
    algorithm = NSGA2(
        pop_size=size,
        sampling=IntegerRandomSampling(),
        crossover=UniformCrossover(),
        mutation=_RedrawOption(options),
        repair=_OnlyUsable(problem),
        eliminate_duplicates=True,
    )
    bounds = {"xl": np.zeros(len(options)), "xu": np.array(options) - 1, "vtype": int}
    variables = IntegerProblem(n_var=len(options), n_obj=problem.objectives, **bounds)
    algorithm.setup(variables, termination=NoTermination(), seed=seed)
    barren = 0
    while problem.evaluations < budget and barren < _BARREN:
        before = problem.evaluations
        offspring = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            break
        proposed = [problem.space.architecture(row) for row in offspring.get("X").astype(int).tolist()]
        if len(set(proposed) - set(problem.evaluated)) > budget - before:
            new = [a for a in dict.fromkeys(proposed) if a not in problem.evaluated]
            problem.evaluate(new[: budget - before])
            break
        offspring.set("F", problem.evaluate(proposed))
        algorithm.tell(infills=offspring)
        barren = barren + 1 if problem.evaluations == before else 0
    if problem.evaluations < budget:
        rest = problem.unseen(budget - problem.evaluations, np.random.default_rng(seed))
        problem.evaluate(rest)
    return problem.evaluated
