"""Experiment `budgets`: the best network under each of 24 latency budgets, from few measurements of a device.

Methods know the errors of all cells that they ask for, true ones or a surrogate's, and pay for measurements
of latency only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from harness.bench.baselines import help_proposals, models_of
from harness.bench.budget_tasks import BudgetTask
from harness.bench.modnas_method import CONFIG, Models, fit_models, fit_on
from harness.bench.problem import Floats, Problem
from harness.bench.rows import Row
from modnas.baselines import Models as BaselineModels
from modnas.baselines import Problem as BaselineProblem
from modnas.baselines import Proposals, get_method, once_for_all
from modnas.prediction import MetaPredictor
from modnas.search.measuring import measure_for
from modnas.spaces import Architecture
from modnas.spaces.nasbench201.space import REFERENCE_INDICES, NasBench201

# Measurements in all.
TOTALS = (10, 20, 40)
# By their names in `modnas.baselines`.
BASELINES = ("rs", "nsga2", "re", "ls")
# Those that know a device by its references, which are their first ten measurements.
DESCRIBED = ("rhpn", "help")
# Those that search on the models of MODNAS, which describe a device by its references too.
ON_MODELS = ("hat", "proxyless", "lemonade")
# Once-for-all's evolution under bounds, with HELP's predictor.
EVOLUTION, BOUNDS, GENERATIONS = "ofa", 120, 100
# The front of a search, whose members are measured; it knows errors by its surrogate.
FRONT = "modnas-front"
# Behind the names of methods that know errors by a surrogate.
SURROGATE = "-surrogate"
# In place of a device's name, in rows of the budgets of all devices together.
ALL = "all"

# What was measured after each total, by published index.
Measurements = Mapping[int, Sequence[int]]
Method = Callable[[BudgetTask, int], Measurements]


def run(problem: Problem, seed: int) -> Iterator[Row]:
    """All methods at one seed, with errors from the table and, named with `SURROGATE`, from a surrogate.

    Rows: `shortfall_mean@N` and `shortfall_median@N` over the budgets of a device, and of all devices
    together (`all`), after N measurements; `broken` of an answer that is predicted from the references and
    not measured.
    """
    predictor = fit_on(problem, problem.search_devices, "latency", seed)
    models = fit_models(problem, seed)
    search = models.search(problem.search_devices, replace(CONFIG, seed=seed))
    proposals = help_proposals(problem.tables, lambda seed, seconds: None)
    shared: dict[str, Method] = {"modnas": partial(modnas, predictor)}
    shared |= {name: partial(baseline, name) for name in BASELINES}
    shared |= {name: partial(described, name, proposals) for name in DESCRIBED}
    shared |= {name: partial(on_models, name, models) for name in ON_MODELS}
    shared[EVOLUTION] = partial(evolution, proposals)
    of_search: dict[str, Method] = {FRONT: partial(front, models.kept(search, models.evaluated))}
    ways = {
        "": (problem.error(problem.cells), shared),
        SURROGATE: (models.errors(problem.cells), shared | of_search),
    }
    for suffix, (errors, methods) in ways.items():
        tasks = [BudgetTask(problem, device, errors) for device in problem.unseen_devices]
        for name, method in methods.items():
            yield from _rows(name + suffix, method, tasks, seed)
    began = time.monotonic()
    for device in problem.unseen_devices:
        expected = predictor.predict(problem.usable, problem.references(device))
        for suffix, (errors, _) in ways.items():
            share = BudgetTask(problem, device, errors).broken(problem.usable, expected.value)
            seconds = time.monotonic() - began
            yield Row("budgets", "modnas" + suffix, device, "unseen", seed, "broken", share, None, seconds)


def _rows(name: str, method: Method, tasks: Sequence[BudgetTask], seed: int) -> Iterator[Row]:
    began = time.monotonic()
    found = {task.device: (task, method(task, seed)) for task in tasks}
    seconds = time.monotonic() - began
    for total in TOTALS:
        short = {device: task.shortfalls(measured[total]) for device, (task, measured) in found.items()}
        for device, values in {**short, ALL: np.concatenate(list(short.values()))}.items():
            figures = {"mean": float(values.mean()), "median": float(np.median(values))}
            for kind, value in figures.items():
                metric = f"shortfall_{kind}@{total}"
                yield Row("budgets", name, device, "unseen", seed, metric, value, None, seconds)


def modnas(predictor: MetaPredictor, task: BudgetTask, seed: int) -> Measurements:
    """The references, then what betters the answers most, see `modnas.search.measuring`."""
    problem = task.problem
    usable = problem.usable
    errors = dict(zip(usable, task.errors[problem.indices(usable)].tolist(), strict=True))
    references = problem.references(task.device)
    count = max(TOTALS) - len(references)
    further = measure_for(task.budgets.tolist(), predictor, references, errors, task.measure, count=count)
    order = [*REFERENCE_INDICES, *problem.indices(further.architectures)]
    return {total: order[:total] for total in TOTALS}


def baseline(name: str, task: BudgetTask, seed: int) -> Measurements:
    """A baseline that spends all measurements on what it proposes."""
    return {total: task.problem.indices(_evaluated(name, task, total, seed)) for total in TOTALS}


def described(name: str, proposals: Proposals, task: BudgetTask, seed: int) -> Measurements:
    """One that spends the first ten on the references."""
    return _besides(lambda own: _evaluated(name, task, own, seed, proposals=proposals), task)


def on_models(name: str, models: Models, task: BudgetTask, seed: int) -> Measurements:
    """One that asks the surrogate and the device's MetaPredictor, fitted to the references."""
    asked = models_of(models, task.device)
    return _besides(lambda own: _evaluated(name, task, own, seed, models=lambda _: asked), task)


def _besides(evaluate: Callable[[int], list[Architecture]], task: BudgetTask) -> Measurements:
    """The references, and as many cells as may be measured besides them."""
    found = {}
    for total in TOTALS:
        own = total - len(REFERENCE_INDICES)
        cells = evaluate(own) if own else []
        found[total] = [*REFERENCE_INDICES, *task.problem.indices(cells)]
    return found


def _evaluated(
    name: str,
    task: BudgetTask,
    count: int,
    seed: int,
    *,
    proposals: Proposals | None = None,
    models: Callable[[int], BaselineModels] | None = None,
) -> list[Architecture]:
    points = np.column_stack([task.errors, task.latency])
    asked = BaselineProblem(
        NasBench201(),
        task.device,
        lambda cells: points[task.problem.indices(cells)],
        task.problem.references(task.device),
        proposals=proposals,
        models=models,
    )
    return get_method(name)(asked, count, seed)


def evolution(proposals: Proposals, task: BudgetTask, seed: int) -> Measurements:
    """Once-for-all's search under bounds over the budgets' range.

    There are more bounds than may be measured, since neighbours often have one answer: of the distinct ones
    as many as may be measured are, evenly spread.
    """
    problem, space = task.problem, task.problem.space
    cells = problem.cells
    expected = proposals.predictor(seed).predict(cells, problem.references(task.device))
    lookup = np.empty(space.options, np.int64)
    for index, cell in enumerate(cells):
        lookup[cell.choices] = index

    def model(values: Floats) -> Callable[[Tensor], Tensor]:
        column = torch.from_numpy(values)

        def ask(onehot: Tensor) -> Tensor:
            choices = onehot.view(len(onehot), len(space.options), -1).argmax(2).numpy()
            return column[lookup[tuple(choices.T)]]

        return ask

    bounds = np.geomspace(task.budgets[0], task.budgets[-1], BOUNDS).tolist()
    proposed = once_for_all.search(
        space, model(task.errors), model(expected), bounds, generations=GENERATIONS, seed=seed
    )
    return _spread(problem.indices(proposed))


def front(fronts: Mapping[str, Sequence[Architecture]], task: BudgetTask, seed: int) -> Measurements:
    """The front that a search gives, measured without regard to what its measurements say."""
    return _spread(task.problem.indices(fronts[task.device]))


def _spread(proposed: Sequence[int]) -> Measurements:
    """The references, and of the distinct other cells as many as may be measured, evenly spread."""
    new = [i for i in dict.fromkeys(proposed) if i not in REFERENCE_INDICES]
    found = {}
    for total in TOTALS:
        own = min(total - len(REFERENCE_INDICES), len(new))
        spread = np.linspace(0, len(new) - 1, own).round().astype(int)
        found[total] = [*REFERENCE_INDICES, *(new[i] for i in spread)]
    return found
