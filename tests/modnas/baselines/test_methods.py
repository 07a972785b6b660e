"""The baselines on a space whose objectives are made up."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from modnas.baselines import BaselineError, Models, Problem, Proposals, get_method, method_names
from modnas.prediction import DeviceTable
from modnas.prediction.help import meta_learn
from modnas.prediction.metrics import spearman
from modnas.search import indicators
from modnas.spaces.nasbench201.space import CONV3, NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
COSTS = np.array([0.1, 0.3, 1.0, 3.0, 0.5])
WORTH = np.array([0.0, 0.5, 1.5, 2.0, 0.2])
SYNE_TUNE = ("moasha", "rsbo", "ehvi")
UNDER_BOUNDS = ("ofa", "hat", "proxyless")
HAS_SYNE_TUNE = all(importlib.util.find_spec(name) for name in ("syne_tune", "botorch"))


def latency(architectures):
    return np.array([1 + COSTS[list(a.choices)].sum() for a in architectures])


def objectives(architectures):
    error = [20 - WORTH[list(a.choices)].sum() - (a.choices[3] == CONV3) for a in architectures]
    return np.stack([error, latency(architectures)], 1)


@pytest.fixture(scope="module")
def proposals():
    generator = torch.Generator().manual_seed(0)
    cells = SPACE.sample(60, generator)
    tables = []
    for factor in (0.5, 1.0, 3.0):
        known = SPACE.sample(80, generator)
        tables.append(
            DeviceTable(f"x{factor}", factor * latency(SPACE.references), known, factor * latency(known))
        )
    predictor = meta_learn(SPACE, tables, steps=40)
    candidates = tuple(cells)
    scores = tuple((-objectives(cells)[:, 0]).tolist())
    return Proposals(candidates, scores, lambda seed: predictor)


def of_operators(values):
    """The model that a sum over the chosen operators is."""
    column = torch.as_tensor(values, dtype=torch.float32).repeat(6)
    return lambda onehot: onehot @ column


# Exact but for the bonus of one edge, and the latency's constant.
MODELS = Models(of_operators(COSTS + 0.1), of_operators(3 - WORTH), SPACE.references[:3])


def problem(proposals=None, measure=objectives, models=MODELS):
    return Problem(
        SPACE,
        "made-up",
        measure,
        latency(SPACE.references),
        proposals=proposals,
        glimpse=objectives,
        models=models and (lambda seed: models),
    )


def cases():
    missing = pytest.mark.skipif(not HAS_SYNE_TUNE, reason="the extra syne-tune is not installed")
    for name in method_names():
        for budget in (1, 6) if name in (*SYNE_TUNE, *UNDER_BOUNDS) else (1, 10, 24):
            yield pytest.param(name, budget, marks=missing if name in SYNE_TUNE else ())


@pytest.mark.parametrize(("name", "budget"), list(cases()))
def test_a_method_spends_its_budget_exactly_and_repeats_itself(name, budget, proposals):
    calls = []

    def measure(architectures):
        calls.extend(architectures)
        return objectives(architectures)

    run = get_method(name)
    found = run(problem(proposals, measure), budget, seed=3)
    assert len(found) == len(set(found)) == budget
    assert calls == found
    assert all(SPACE.is_usable(a) for a in found)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert run(problem(proposals), budget, seed=3) == found
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    if budget > 1 and name != "help":
        assert run(problem(proposals), budget, seed=4) != found


def volume(architectures):
    return indicators.hypervolume(indicators.scale(objectives(architectures), [7, 1], [20, 19]))


# Local search starts anew wherever it ends, so that its runs differ most.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "runs"), [("nsga2", 4), ("re", 4), ("ls", 24)])
def test_searching_beats_drawing(name, runs):
    """On average and with 800 evaluations: a front of 24 says little about either, and one run about none."""
    searched, drawn = (
        np.mean([volume(get_method(method)(problem(), 800, seed)) for seed in range(count)])
        for method, count in ((name, runs), ("rs", 24))
    )
    assert searched > drawn + 0.005


def test_evaluations_are_counted_once():
    one = problem()
    cells = SPACE.sample(3, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(
        one.evaluate([cells[0], cells[1], cells[0]])[:, 1], latency(cells)[[0, 1, 0]]
    )
    assert one.evaluations == 2
    one.evaluate(cells)
    assert one.evaluated == cells
    assert not set(one.neighbours(cells[0], np.random.default_rng(0))) & set(cells)


def test_neighbours_differ_in_one_decision():
    one = problem()
    cell = SPACE.architecture((CONV3,) * 6)
    near = one.neighbours(cell, np.random.default_rng(0))
    assert len(near) == len(set(near)) == 24
    assert all(sum(a != b for a, b in zip(n.choices, cell.choices, strict=True)) == 1 for n in near)


def test_help_takes_the_best_proposals_under_each_bound(proposals):
    found = get_method("help")(problem(proposals), 24, seed=0)
    assert set(found) <= set(proposals.architectures)
    values = objectives(found)
    assert spearman(range(24), values[:, 1]) > 0.7  # bounds rise, and latencies with them
    best = proposals.architectures[int(np.argmax(proposals.scores))]
    assert best in found


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDER_BOUNDS)
def test_a_search_under_bounds_finds_nearly_the_best_of_its_models(name):
    found = get_method(name)(problem(), 24, seed=0)
    cells = [cell for cell in SPACE.all() if SPACE.is_usable(cell)]
    everything = indicators.scale(objectives(cells), [7, 1], [20, 19])
    assert volume(found) > 0.95 * indicators.hypervolume(everything)


def test_what_models_were_fitted_on_is_told_when_their_error_is_asked_for():
    one = problem()
    one.evaluate(SPACE.references[2:4])
    assert one.metric_model(0) is MODELS.metric
    assert one.told == one.evaluated
    one.error_model(0)
    assert set(one.told) == set(SPACE.references[:4])
    assert one.evaluations == 2


def test_lemonade_fills_gaps_of_its_front_in_what_is_cheap():
    """Of many children those far from the population are evaluated: sizes spread wider than at random."""

    def spread(name, seed):
        cells = get_method(name)(problem(), 24, seed)
        return np.ptp(np.log(SPACE.multiply_adds(cells).numpy()))

    lemonade, drawn = (np.mean([spread(name, seed) for seed in range(8)]) for name in ("lemonade", "rs"))
    assert lemonade > drawn


def test_lemonade_needs_no_models():
    assert len(get_method("lemonade")(problem(models=None), 9, 0)) == 9


def test_what_a_method_needs_is_asked_for():
    for name in UNDER_BOUNDS:
        with pytest.raises(BaselineError, match="models"):
            get_method(name)(problem(models=None), 24, 0)
    with pytest.raises(BaselineError, match="MetaD2A"):
        get_method("help")(problem(), 24, 0)
    with pytest.raises(BaselineError, match="lower the budget"):
        few = Proposals(SPACE.references, (0.0,) * 10, lambda seed: pytest.fail("not asked"))
        get_method("help")(problem(few), 24, 0)
    with pytest.raises(KeyError):
        get_method("hill-climbing")


@pytest.mark.skipif(HAS_SYNE_TUNE, reason="the extra syne-tune is installed")
@pytest.mark.parametrize("name", SYNE_TUNE)
def test_a_missing_extra_is_named(name):
    with pytest.raises(BaselineError, match=r"pip install 'modnas-hw\[syne-tune\]'"):
        get_method(name)(problem(), 5, 0)
