"""Searches under bounds as baselines, whatever the search."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from modnas.baselines import Models, Problem
from modnas.baselines.base import Model
from modnas.baselines.bounded import excess_of, remembered, run_under_bounds
from modnas.spaces import Architecture, Space
from modnas.spaces.nasbench201 import NasBench201
from modnas.testing.baselines import made_up_problem

SPACE = NasBench201()


def test_bounds_are_even_and_repeated_answers_make_room_for_others() -> None:
    asked: list[list[float]] = []

    def stubborn(
        space: Space, error: Model, latency: Model, bounds: Sequence[float], /, *, seed: int
    ) -> list[Architecture]:
        asked.append(list(bounds))
        return [space.references[bound > bounds[0]] for bound in bounds]

    problem = made_up_problem()
    found = run_under_bounds(problem, 8, 0, stubborn)
    assert found[:2] == list(problem.space.references[:2])
    assert len(set(found)) == 8 and all(map(problem.space.is_usable, found))
    steps = torch.tensor(asked[0]).diff()
    assert len(asked[0]) == 8 and steps.tolist() == pytest.approx([float(steps[0])] * 7, rel=1e-3)
    assert all(asked[0][0] <= bound <= asked[0][-1] for more in asked[1:] for bound in more)
    assert problem.searches == sum(map(len, asked))


def test_a_model_is_asked_for_each_architecture_once() -> None:
    rows: list[int] = []

    def counted(onehot: torch.Tensor) -> torch.Tensor:
        rows.append(len(onehot))
        return onehot @ torch.arange(1.0, SPACE.width + 1)

    some = SPACE.encode([*SPACE.references, *SPACE.references[:4]])
    once = remembered(counted)
    assert once(some).tolist() == once(some).tolist() == counted(some).tolist()
    assert rows[0] == 10 and sum(rows) == 10 + len(some)


def test_what_computes_nothing_keeps_no_bound() -> None:
    assert SPACE.unusable is not None
    excess = excess_of(SPACE, lambda onehot: torch.tensor([1.0, 1.0, 3.0]))
    cells = [SPACE.unusable, *SPACE.references[:2]]
    choices = torch.tensor([cell.choices for cell in cells])
    assert excess(choices, torch.full((3,), 2.0)).tolist() == [torch.inf, -0.5, 0.5]


def test_models_know_the_metric_alone_or_the_error_too() -> None:
    def measure(architectures: Sequence[Architecture]) -> list[list[float]]:
        return [[1.0, 1.0] for _ in architectures]

    models = Models(lambda onehot: onehot.sum(1))
    problem = Problem(SPACE, "d", measure, range(1, 11), models=lambda seed: models)
    assert problem.metric_model(0) is models.metric
    with pytest.raises(ValueError, match="models of error"):
        problem.error_model(0)
