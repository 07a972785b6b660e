"""Evaluated architectures and the surrogate behind them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from modnas.accuracy.active import candidates
from modnas.accuracy.evaluated import Choice, EvaluatedAccuracy, evaluate_and_fit, expect
from modnas.search.devices import SearchDevice
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.nasbench201 import NasBench201
from modnas.spaces.nasbench201.cells import CONV3

pytestmark = pytest.mark.trains

SPACE = NasBench201()


def errors_of(cells: Sequence[Architecture]) -> NDArray[np.float64]:
    """Errors that fall with the 3x3 convolutions."""
    return np.array([60.0 * 0.8 ** c.choices.count(CONV3) + 0.1 * sum(c.choices) for c in cells])


def device() -> SearchDevice:
    def predict(samples: Tensor) -> Tensor:
        return (1 + samples.view(-1, 6, 5)[..., CONV3].sum(1)).unsqueeze(1)

    sample = SPACE.encode(SPACE.sample(100, torch.Generator().manual_seed(0)))
    return SearchDevice.predicted("it", {"latency": np.arange(1.0, 11.0)}, predict, sample)


def run(choice: Choice = "active", budget: int = 40, **given: object) -> EvaluatedAccuracy:
    return evaluate_and_fit(
        SPACE,
        errors_of,
        [device()],
        budget=budget,
        choice=choice,
        chance=90.0,
        seed=0,
        **given,  # type: ignore[arg-type]
    )


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["active", "random"])
def test_as_many_as_told_and_what_is_known_is_not_guessed(choice: Choice) -> None:
    accuracy = run(choice)
    known = list(accuracy.evaluated)
    assert len(known) == 40
    assert np.array_equal(accuracy.errors(known), errors_of(known))
    others = [cell for cell in SPACE.sample(30, torch.Generator().manual_seed(9)) if cell not in known]
    assert np.array_equal(accuracy.errors(others), expect(accuracy.surrogate, others))
    assert list(run(choice).evaluated) == known, "same arguments, same result"


def test_what_chance_decides_is_not_taken_at_its_word() -> None:
    exact = run()
    lucky = EvaluatedAccuracy(exact.surrogate, exact.evaluated, exact=False)
    known = exact.certain
    assert known == list(exact.evaluated) and lucky.certain == []
    assert np.array_equal(lucky.errors(known), expect(exact.surrogate, known))


def test_an_active_choice_is_nearer_to_the_front() -> None:
    """Of 16,000 cells the front has one for each number of 3x3 convolutions: the fewest other operators."""

    def others(choice: Choice) -> float:
        found = list(run(choice, 60).evaluated)[20:]
        return float(np.mean([sum(c for c in cell.choices if c != CONV3) for cell in found]))

    assert others("active") < 0.8 * others("random")


@pytest.mark.parametrize("choice", ["active", "random"])
def test_only_what_there_is_to_choose_from(choice: Choice) -> None:
    pool = [SPACE.at(i) for i in range(300) if SPACE.is_usable(SPACE.at(i))]
    assert set(run(choice, pool=lambda: pool).evaluated) <= set(pool)
    with pytest.raises(ValueError, match="cannot be"):
        run(choice, len(pool) + 1, pool=lambda: pool)


@pytest.mark.slow
def test_candidates_are_all_of_a_small_space_or_a_sample_of_a_large_one() -> None:
    plain, every = (candidates(SPACE, 0, plain=is_plain) for is_plain in (True, False))
    assert len(every) == len(set(every)) == sum(map(SPACE.is_usable, SPACE.all()))
    assert set(plain) == {SPACE.simplified(cell) for cell in every}
    large = MobileNetV3()
    assert len(set(candidates(large, 0, plain=True))) == 20_000
