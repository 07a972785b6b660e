"""Latency budgets on a table device: what a method may see of them, and how its answers are judged.

The answer to a budget is a measured network that keeps it, the one of least error as far as the method knows
errors. The range of the device's exact front, in the logarithm of latency, is cut into 24 equal parts; the
upper end of each is a budget. So each is larger than the one before by the same share, as people count
latency. The fastest latency itself is none: one network has it, and often not for what it computes, as others
that compute the same were measured a little slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.bench.problem import CHANCE_ERROR, Floats, Problem
from modnas.search.indicators import non_dominated
from modnas.search.measuring import answers
from modnas.spaces import Architecture

BUDGETS = 24
# Budgets under which no network has a smaller error, percent, are not counted: nobody wants those networks.
LARGEST_ERROR = 15.0
# A network that takes more than so many times its budget has broken it.
BROKEN = 1.05


@dataclass(frozen=True)
class BudgetTask:
    """One device, with what a method knows of errors.

    Args:
        errors: of all cells by published index, percent: true ones or a surrogate's.
    """

    problem: Problem
    device: str
    errors: Floats

    @property
    def latency(self) -> Floats:
        """Of all cells, ms: for what is measured, and for the judge."""
        return self.problem.objectives(self.device)[:, 1]

    @property
    def budgets(self) -> Floats:
        """Latencies that an answer may have, ms, (24,), in ascending order."""
        points = self.problem.objectives(self.device)
        kept = points[points[:, 0] < CHANCE_ERROR]
        latency = kept[non_dominated(kept), 1]
        return np.geomspace(latency.min(), latency.max(), BUDGETS + 1)[1:]

    def measure(self, cells: Sequence[Architecture]) -> dict[Architecture, float]:
        """Their latencies, ms."""
        return dict(zip(cells, self.latency[self.problem.indices(cells)].tolist(), strict=True))

    def shortfalls(self, measured: Sequence[int]) -> Floats:
        """How much less accurate the answers from the cells measured are than the table's best network under
        the same budget: percentage points, one for each budget that counts.

        Where no measured cell keeps a budget the answer is one that guesses.
        """
        true, latency = self.problem.error(self.problem.cells), self.latency
        found = self._answers({index: float(latency[index]) for index in measured})
        got = np.array([CHANCE_ERROR if index is None else true[index] for index in found])
        best = np.array([true[latency <= budget].min() for budget in self.budgets])
        return np.asarray((got - best)[best < LARGEST_ERROR])

    def broken(self, cells: Sequence[Architecture], predicted: Floats) -> float:
        """Share of the budgets that are broken by the answers that predictions (n,) of cells would give."""
        found = self._answers(dict(zip(self.problem.indices(cells), predicted.tolist(), strict=True)))
        taken = np.array([0.0 if index is None else self.latency[index] for index in found])
        return float((taken > BROKEN * self.budgets).mean())

    def _answers(self, latency: Mapping[int, float]) -> list[int | None]:
        return answers(self.errors, self.budgets.tolist(), latency)
