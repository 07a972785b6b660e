"""Latency budgets on the published tables: how answers are judged, and what methods are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.bench import budgets
from harness.bench.budget_tasks import BudgetTask
from harness.bench.problem import Problem
from harness.datasets.nasbench201 import load
from modnas.baselines import Models, Proposals
from modnas.spaces.nasbench201.space import REFERENCE_INDICES


@pytest.fixture(scope="module")
def task(data_dir):
    problem = Problem(load(data_dir))
    return BudgetTask(problem, "gold_6226", problem.error(problem.cells))


def test_who_has_measured_everything_falls_short_of_nothing(task):
    every = range(len(task.problem.cells))
    assert task.shortfalls(every).tolist() == [0.0] * len(task.shortfalls([]))
    fastest = int(task.latency.argmin())
    assert (task.shortfalls([fastest]) >= 0).all()


def test_without_a_measured_network_the_answer_guesses(task):
    points = task.problem.objectives(task.device)
    best = [points[points[:, 1] <= budget, 0].min() for budget in task.budgets]
    counted = [error for error in best if error < 15]
    assert 0 < len(counted) < 24, "this device has budgets that only bad networks keep"
    assert task.shortfalls([]) == pytest.approx([90 - error for error in counted])


def test_answers_are_chosen_by_the_errors_that_are_known_and_judged_by_the_true_ones(task):
    measured = np.random.default_rng(0).permutation(len(task.problem.cells))[:50].tolist()
    mistaken = replace(task, errors=task.errors.max() - task.errors)
    assert mistaken.shortfalls(measured).mean() > task.shortfalls(measured).mean() + 1


def test_budgets_span_the_exact_front_in_equal_ratios(task):
    ratios = task.budgets[1:] / task.budgets[:-1]
    assert len(task.budgets) == 24 and ratios == pytest.approx(ratios[0])
    errors = task.problem.error(task.problem.cells)
    assert errors[task.latency <= task.budgets[-1]].min() == errors.min()
    fastest = task.latency[errors < 90].min()
    assert task.budgets[0] / fastest == pytest.approx(ratios[0])


def test_a_proposal_breaks_its_budget_when_it_is_clearly_slower_than_predicted(task):
    cells = task.problem.usable
    true = task.latency[task.problem.indices(cells)]
    assert task.broken(cells, true) == 0
    assert task.broken(cells, true / 1.04) == 0
    assert task.broken(cells, true / 1.5) > 0.5


def test_every_baseline_measures_as_much_as_the_others(task, monkeypatch):
    class Guess:
        """What HELP's predictor would say of a device that is 1 ms slower."""

        def predict(self, cells, references):
            return task.latency[task.problem.indices(cells)] + 1.0

    tables = task.problem.tables
    candidates = tuple(task.problem.cells[int(index)] for index in tables.metad2a)
    proposals = Proposals(candidates, tuple(tables.metad2a_scores.tolist()), lambda seed: Guess())
    found = {name: budgets.baseline(name, task, 0) for name in budgets.BASELINES}
    found |= {name: budgets.described(name, proposals, task, 0) for name in budgets.DESCRIBED}
    monkeypatch.setattr(budgets, "GENERATIONS", 5)
    found["ofa"] = budgets.evolution(proposals, task, 0)
    cells = task.problem.cells
    found["ofa's"] = budgets.front({task.device: [cells[i] for i in found["ofa"][40]]}, task, 0)
    assert set(found["ofa's"][40]) == set(found["ofa"][40]) > set(found["ofa's"][20])
    for name, measured in found.items():
        for total in budgets.TOTALS:
            assert len(measured[total]) == total or name in ("ofa", "ofa's"), name
            assert len(set(measured[total])) == len(measured[total]) or name in budgets.DESCRIBED, name
    assert tuple(found["ofa"][20][:10]) == tuple(found["help"][10]) == REFERENCE_INDICES
    short = {name: task.shortfalls(measured[40]).mean() for name, measured in found.items()}
    assert short["ofa"] < min(short[name] for name in ("rs", "rhpn"))


def test_baselines_on_models_measure_besides_the_references(task, monkeypatch):
    def work(onehot):
        """A model that is no better than counting operators that are not skipped."""
        return 1 + onehot.view(len(onehot), 6, 5)[:, :, 2:].sum((1, 2))

    monkeypatch.setattr(budgets, "models_of", lambda models, device: Models(work, lambda rows: -work(rows)))
    found = budgets.on_models("lemonade", None, task, 0)
    assert [len(found[total]) for total in budgets.TOTALS] == [10, 20, 40]
    assert all(tuple(cells[:10]) == REFERENCE_INDICES for cells in found.values())


@pytest.mark.slow
@pytest.mark.trains
def test_chosen_measurements_answer_better_than_random_ones(task):
    problem = Problem(task.problem.tables, search_devices=["gold_6240", "pixel3", "silver_4114"], budget=100)
    task = replace(task, problem=problem)
    predictor = budgets.fit_on(problem, problem.search_devices, "latency", 0)
    mine, random = budgets.modnas(predictor, task, 0), budgets.baseline("rs", task, 0)
    for total in (20, 40):
        assert len(mine[total]) == len(set(mine[total])) <= total
        assert task.shortfalls(mine[total]).mean() < task.shortfalls(random[total]).mean() / 2
