"""Which architectures to measure so that the best ones under given budgets become known.

A budget is the largest value of a metric that an answer may have; the answer is the measured architecture of
least error that keeps it. What a measurement is worth to a budget is how much better the answer is expected
to get: the probability that the architecture keeps the budget, times what it is better than the best one
that is known to. Source: Gardner et al., "Bayesian Optimization with Inequality Constraints", ICML 2014, here
summed over budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
# Standard deviations by which an architecture has to be behind another to be left out from the beginning.
_CERTAIN = 4.0


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
    limits = np.asarray(budgets, np.float64)
    keeps = _probabilities(means, deviations, limits)
    known = [i for i in measured if 0 <= i < len(errors)]
    if len(known) != len(measured):
        raise ValueError(f"measured candidates that are none of the {len(errors)}")
    now = answers(errors, limits.tolist(), measured)
    worst = errors.max(initial=0.0)
    # The answers after what is chosen was measured: errors, with their probabilities, (outcomes, budgets).
    outcomes = np.array([[worst if i is None else errors[i] for i in now]])
    chances = np.ones_like(outcomes)
    found: list[int] = []
    while len(found) < count:
        worth = _worth(keeps, errors, outcomes, chances)
        worth[[*known, *found]] = 0.0
        best = int(worth.argmax()) if len(worth) else -1
        if best < 0 or worth[best] <= 0:
            break
        found.append(best)
        moved = np.where(outcomes > errors[best], chances, 0.0) * keeps[best]
        outcomes = np.vstack([outcomes, np.full(len(limits), errors[best])])
        chances = np.vstack([chances - moved, moved.sum(0)])
    return found


def _probabilities(means: Floats, deviations: Floats, limits: Floats) -> Floats:
    """That each of n candidates keeps each of B budgets, (n, B)."""
    slack = limits - means[:, None]
    sure = np.where(slack >= 0, np.inf, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(deviations[:, None] > 0, slack / deviations[:, None], sure)
    return np.asarray(ndtr(scores))


def _worth(keeps: Floats, errors: Floats, outcomes: Floats, chances: Floats) -> Floats:
    """By how much each candidate is expected to better the answers, summed over the budgets: (n,)."""
    worth = np.zeros(len(errors))
    for answer, chance in zip(outcomes, chances, strict=True):
        worth += (keeps * chance * np.maximum(answer - errors[:, None], 0.0)).sum(1)
    return worth


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
        errors: of every architecture that may be an answer. References among them are measured already.
        measure: architectures -> the values of those that have one, in the unit of the references. For one
            that has none another is chosen.

    Returns:
        What was measured, in this order; fewer where nothing else can better an answer.
    """
    given = np.asarray(references, np.float64).tolist()
    known = {a: v for a, v in zip(predictor.space.references, given, strict=True) if a in errors}
    values: dict[Architecture, float] = {}
    among = [a for a in _contenders(predictor, references, errors) if a not in known] + list(known)
    while len(values) < count:
        means, deviations = _expected(predictor, among, references, values)
        everything = known | values
        measured = {i: everything[a] for i, a in enumerate(among) if a in everything}
        error = [errors[a] for a in among]
        left = min(_BATCH, count - len(values))
        chosen = [among[i] for i in choose(means, deviations, error, budgets, measured, left)]
        if not chosen:
            break
        values.update(measure(chosen))
        among = [a for a in among if a in values or a not in chosen]
    return Measured(list(values), list(values.values()))


def _expected(
    predictor: MetaPredictor,
    among: Sequence[Architecture],
    references: ArrayLike,
    values: Mapping[Architecture, float],
) -> tuple[Floats, Floats]:
    """Expected values of a device's metric and their standard deviations, (n,) each."""
    expected = predictor.predict(among, references, Measured(list(values), list(values.values())))
    return expected.value, (expected.upper - expected.value) / NORMAL_QUANTILE


def _contenders(
    predictor: MetaPredictor, references: ArrayLike, errors: Mapping[Architecture, float]
) -> list[Architecture]:
    """Architectures that are not beaten for certain, in error and metric, by what the references say."""
    ranked = sorted(errors, key=errors.__getitem__)
    means, deviations = _expected(predictor, ranked, references, {})
    beaten = np.minimum.accumulate(means + _CERTAIN * deviations)
    kept = np.append(True, (means - _CERTAIN * deviations)[1:] <= beaten[:-1])
    return [architecture for architecture, one in zip(ranked, kept, strict=True) if one]
