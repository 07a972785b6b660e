"""Which architectures to measure so that the best ones under given budgets become known.

A budget is the largest value of a metric that an answer may have; the answer is the measured architecture of
least error that keeps it. What a measurement is worth to a budget is how much better the answer is expected
to get: the probability that the architecture keeps the budget, times what it is better than the best one
that is known to. Source: Gardner et al., "Bayesian Optimization with Inequality Constraints", ICML 2014, here
summed over budgets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from modnas.prediction.gaussian_process import NORMAL_QUANTILE
from modnas.prediction.measured import Measured
from modnas.prediction.meta import MetaPredictor
from modnas.spaces import Architecture

Floats = NDArray[np.float64]
# What is measured before the next are chosen.
_BATCH = 5
# Of more candidates these many are looked at again and again, those worth most after the references.
_CONTENDERS = 2000


def answers(error: ArrayLike, budgets: Sequence[float], measured: Mapping[int, float]) -> list[int | None]:
    """The answer to each budget: which of the n candidates; None where no measured one keeps it.

    Args:
        error: of the candidates, (n,), smaller is better.
        budgets: largest values of the metric.
        measured: candidate -> its metric. Of equal errors the smaller metric is the answer.
    """
    given = np.asarray(error, np.float64)
    ranked = sorted(measured, key=lambda i: (given[i], measured[i]))
    return [next((i for i in ranked if measured[i] <= budget), None) for budget in budgets]


def choose(  # noqa: PLR0917
    mean: ArrayLike,
    deviation: ArrayLike,
    error: ArrayLike,
    budgets: Sequence[float],
    measured: Mapping[int, float],
    count: int,
) -> list[int]:
    """Which candidates to measure next, the one that is worth most first; none that is measured already.

    Candidates are chosen one after the other, each as if those before it had been measured with results that
    are not known yet: two that are likely to answer the same budgets are not both chosen. Deviations are
    taken to be independent.

    Args:
        mean, deviation: what is expected of the metric of n candidates, and how uncertain that is: (n,) each,
            smaller is better.
        error: what is known or expected of the error, (n,), smaller is better. Gains are its differences, so
            that its scale says what they count.
        budgets: largest values of the metric.
        measured: candidate -> its metric. A budget that none of them keeps has the worst error for an answer.
        count: at most so many are returned; fewer where no other can better an answer.

    Raises:
        ValueError: arrays that do not belong together.
    """
    means, deviations, errors = (np.asarray(part, np.float64) for part in (mean, deviation, error))
    if not means.shape == deviations.shape == errors.shape == (len(errors),):
        raise ValueError(f"{means.shape} means, {deviations.shape} deviations and {errors.shape} errors")
    if not all(0 <= i < len(errors) for i in measured):
        raise ValueError(f"measured candidates that are none of the {len(errors)}")
    limits = np.asarray(budgets, np.float64)
    keeps, expected = _probabilities(means, deviations, limits), _Answers.of(errors, limits, measured)
    found: list[int] = []
    while len(errors) and len(found) < count:
        worth = expected.worth(keeps, errors)
        worth[[*measured, *found]] = 0.0
        best = int(worth.argmax())
        if worth[best] <= 0:
            break
        found.append(best)
        expected = expected.after(keeps[best], float(errors[best]))
    return found


class _Answers(NamedTuple):
    """What the answers may be: errors and their probabilities, (outcomes, budgets) each."""

    errors: Floats
    chances: Floats

    @classmethod
    def of(cls, errors: Floats, limits: Floats, measured: Mapping[int, float]) -> _Answers:
        """The answers that are known; the worst error where there is none."""
        now, worst = answers(errors, limits.tolist(), measured), errors.max(initial=0.0)
        found = np.array([[worst if i is None else errors[i] for i in now]])
        return cls(found, np.ones_like(found))

    def worth(self, keeps: Floats, errors: Floats) -> Floats:
        """By how much each candidate is expected to better the answers, summed over the budgets: (n,).

        `keeps`: probabilities that each keeps each budget, (n, B).
        """
        worth = np.zeros(len(errors))
        for answer, chance in zip(*self, strict=True):
            worth += (keeps * chance * np.maximum(answer - errors[:, None], 0.0)).sum(1)
        return worth

    def after(self, keeps: Floats, error: float) -> _Answers:
        """Once a candidate was measured that keeps the budgets with these probabilities, (B,)."""
        moved = np.where(self.errors > error, self.chances, 0.0) * keeps
        errors = np.vstack([self.errors, np.full(len(keeps), error)])
        return _Answers(errors, np.vstack([self.chances - moved, moved.sum(0)]))


def _probabilities(means: Floats, deviations: Floats, limits: Floats) -> Floats:
    """That each of n candidates keeps each of B budgets, (n, B)."""
    slack = limits - means[:, None]
    sure = np.where(slack >= 0, np.inf, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(deviations[:, None] > 0, slack / deviations[:, None], sure)
    return np.asarray(ndtr(scores))


def measure_for(
    budgets: Sequence[float],
    predictor: MetaPredictor,
    references: ArrayLike,
    errors: Mapping[Architecture, float],
    measure: Callable[[Sequence[Architecture]], Mapping[Architecture, float]],
    *,
    count: int,
) -> Measured:
    """Measure `count` architectures of a device besides its references, a few at a time, for the sake of
    budgets; before each choice the predictor takes in all that is measured.

    Args:
        budgets: see `choose`, in the unit of the references.
        references: see `modnas.prediction.DeviceTable.features`.
        errors: of every architecture that may be an answer, percent. References among them are measured
            already.
        measure: architectures -> the values of those that have one, in the unit of the references. For one
            that has none another is chosen.

    Returns:
        What was measured, in this order; fewer where nothing else can better an answer.
    """
    given = np.asarray(references, np.float64).tolist()
    known = {a: v for a, v in zip(predictor.space.references, given, strict=True) if a in errors}
    # Relative gains: a budget that nothing keeps yet, or only bad architectures, is one among many.
    error = {architecture: math.log1p(value) for architecture, value in errors.items()}
    values: dict[Architecture, float] = {}
    among = list(error)

    def believed() -> tuple[Floats, Floats, Floats]:
        further = Measured(list(values), list(values.values()))
        expected = predictor.predict(among, references, further)
        deviations = (expected.upper - expected.value) / NORMAL_QUANTILE
        return expected.value, deviations, np.array([error[a] for a in among])

    def measured() -> dict[int, float]:
        everything = known | values
        return {i: everything[a] for i, a in enumerate(among) if a in everything}

    if len(among) > _CONTENDERS:
        kept = {*_contenders(*believed(), budgets, measured()), *measured()}
        among = [a for i, a in enumerate(among) if i in kept]
    while len(values) < count:
        chosen = choose(*believed(), budgets, measured(), min(_BATCH, count - len(values)))
        if not chosen:
            break
        some = [among[i] for i in chosen]
        values.update(measure(some))
        among = [a for a in among if a in values or a not in some]
    return Measured(list(values), list(values.values()))


def _contenders(
    means: Floats,
    deviations: Floats,
    errors: Floats,
    budgets: Sequence[float],
    measured: Mapping[int, float],
) -> list[int]:
    """The candidates that alone are worth most."""
    limits = np.asarray(budgets, np.float64)
    keeps = _probabilities(means, deviations, limits)
    worth = _Answers.of(errors, limits, measured).worth(keeps, errors)
    found: list[int] = np.argsort(-worth, kind="stable")[:_CONTENDERS].tolist()
    return found
