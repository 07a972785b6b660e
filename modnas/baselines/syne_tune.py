"""Methods of the Syne Tune library (optional extra `syne-tune`): MO-ASHA, BO by random scalarisation, EHVI.

Options of a decision are given to it as unordered choices. Where it suggests an architecture that is known
already or not usable, one that differs from it in a single decision is taken instead.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch

from modnas.baselines.base import BaselineError, Floats, Problem
from modnas.search import indicators
from modnas.spaces import Architecture

START = 4  # random architectures before a model is fitted
# The fidelities that MO-ASHA sees: NAS-Bench-201's short and full training schedules, in epochs.
SHORT, FULL = 12, 200
_SCHEDULERS = "syne_tune.optimizer.schedulers"
_REFERENCE = 2.0  # the reference point built into Syne Tune's EHVI, which maximises
_AUGMENTATION = 0.05  # Knowles' (2006)
_RESTARTS = 4  # of the acquisition function's maximisation
_GLIMPSES = 100  # for each evaluation of the budget, at most


def run_moasha(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Multi-objective asynchronous successive halving (Schmucker et al., 2021); see `registry.Method`.

    Architectures are seen after 12 epochs first; those that MO-ASHA does not stop are evaluated truly.
    """
    if problem.glimpse is None:
        raise BaselineError(f"{problem.device}: moasha needs results of a shorter training")
    library = _import(f"{_SCHEDULERS}.multiobjective.moasha")
    trial_type = _import("syne_tune.backend.trial_status").Trial
    names = [f"objective{m}" for m in range(problem.objectives)]
    settings = {"time_attr": "epochs", "max_t": FULL, "grace_period": SHORT, "random_seed": seed}
    draw = np.random.default_rng(seed)
    seen: set[Architecture] = set()
    with _seeded(seed):
        scheduler = library.MOASHA(_choices(problem), names, **settings)
        while problem.evaluations < budget:
            if len(seen) >= _GLIMPSES * budget:
                raise BaselineError(f"{problem.device}: MO-ASHA stopped nearly all of {len(seen)} trainings")
            architecture = _novel(problem, scheduler.suggest().config, draw)
            if architecture in seen:
                architecture = problem.unseen(1, draw)[0]
            config = dict(zip(_names(problem), architecture.choices, strict=True))
            trial = trial_type(len(seen), config, datetime.datetime.now(datetime.timezone.utc))
            seen.add(architecture)
            scheduler.on_trial_add(trial)
            early = np.asarray(problem.glimpse([architecture]))[0]
            report = {"epochs": SHORT, **dict(zip(names, early.tolist(), strict=True))}
            if scheduler.on_trial_result(trial, report) == library.SchedulerDecision.CONTINUE:
                final = problem.evaluate([architecture])[0]
                report = {"epochs": FULL, **dict(zip(names, final.tolist(), strict=True))}
                scheduler.on_trial_complete(trial, report)
    return problem.evaluated


def run_random_scalarisation(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Bayesian optimisation of a fresh random scalarisation each time (Knowles, 2006: ParEGO).

    The scalarisation is the augmented Chebyshev function, the model Syne Tune's Gaussian process with
    expected improvement; see `registry.Method`.
    """

    def scalarised(values: Floats, draw: np.random.Generator) -> Floats:
        weighted = values * draw.dirichlet(np.ones(values.shape[1]))
        return np.asarray(weighted.max(1) + _AUGMENTATION * weighted.sum(1))

    library = _import(f"{_SCHEDULERS}.searchers.botorch.botorch_searcher")
    return _model_based(problem, budget, seed, library.BoTorchSearcher, scalarised)


def run_ehvi(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """Expected hypervolume improvement (Daulton et al., 2020); see `registry.Method`."""

    def shifted(values: Floats, draw: np.random.Generator) -> Floats:
        # Syne Tune negates objectives and takes the reference (2, ..., 2): that is where 1 has to end up.
        return values - 1 - _REFERENCE

    library = _import(f"{_SCHEDULERS}.multiobjective.expected_hyper_volume_improvement")
    return _model_based(problem, budget, seed, library.ExpectedHyperVolumeImprovement, shifted)


def _model_based(
    problem: Problem,
    budget: int,
    seed: int,
    searcher_type: Any,
    targets: Callable[[Floats, np.random.Generator], Floats],
) -> list[Architecture]:
    """A model fitted anew for each suggestion, to `targets` of the objectives scaled to what was seen."""
    draw = np.random.default_rng(seed)
    problem.evaluate(problem.unseen(min(START, budget), draw))
    with _seeded(seed):
        while problem.evaluations < budget:
            values = problem.values()
            scaled = indicators.scale(values, values.min(0), values.max(0))
            known = [dict(zip(_names(problem), a.choices, strict=True)) for a in problem.evaluated]
            # As many random starts as there are results: the next suggestion is the model's.
            searcher = searcher_type(
                _choices(problem),
                points_to_evaluate=known,
                num_init_random=max(2, len(known)),
                num_restarts=_RESTARTS,
                random_seed=int(draw.integers(2**31)),
            )
            for trial, target in enumerate(targets(scaled, draw).tolist()):
                searcher.on_trial_complete(trial, searcher.suggest(), target)
            problem.evaluate([_novel(problem, searcher.suggest(), draw)])
    return problem.evaluated


def _names(problem: Problem) -> list[str]:
    return [f"decision{k}" for k in range(len(problem.space.options))]


def _choices(problem: Problem) -> dict[str, Any]:
    choice = _import("syne_tune.config_space").choice
    return {
        name: choice(list(range(n))) for name, n in zip(_names(problem), problem.space.options, strict=True)
    }


def _novel(problem: Problem, config: dict[str, Any], draw: np.random.Generator) -> Architecture:
    """The suggested architecture, or one near it that is usable and not evaluated."""
    found = problem.space.architecture([int(config[name]) for name in _names(problem)])
    if problem.space.is_usable(found) and found not in problem.evaluated:
        return found
    return next(iter(problem.neighbours(found, draw)), None) or problem.unseen(1, draw)[0]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which the library draws from, and put them back afterwards.

    Double precision is the default meanwhile: Syne Tune 0.16 makes some of EHVI's tensors of the default
    type and others in double precision, and the two do not mix.
    """
    before, dtype = np.random.get_state(), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            np.random.set_state(before)
            torch.set_default_dtype(dtype)


def _import(module: str) -> Any:
    """A module of the library. Raises BaselineError when the extra is not installed."""
    try:
        import_module("botorch")
        return import_module(module)
    except ImportError as error:
        raise BaselineError(
            f"Syne Tune cannot be imported ({error}); install it with pip install 'modnas-hw[syne-tune]'"
        ) from error
