"""The accuracy surrogate of a run: networks trained for it, the model fitted on them, loading it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from harness.runs.evaluation import evaluate_architectures
from harness.runs.run import Run
from harness.store import Evaluation, Store
from modnas.accuracy.surrogate import AccuracySurrogate, fit_surrogate
from modnas.spaces import Architecture, Space, Supernetwork
from modnas.tasks import AnyTask

# Fewer say nothing about a space.
LEAST_EVALUATIONS = 10


@dataclass
class _Subject:
    run: Run
    space: Space
    task: AnyTask
    supernetwork: Supernetwork | None = None


def evaluation_sample(run: Run, space: Space) -> list[Architecture]:
    """The architectures that a run's surrogate is fitted on: a fixed random sample."""
    generator = torch.Generator().manual_seed(20_000 + run.config.seed)
    return space.sample(run.config.evaluations or 0, generator)


def fit_run_surrogate(
    run: Run, space: Space, task: AnyTask, store: Store, on_row: Callable[[Evaluation, bool], None]
) -> None:
    """Train the sample by the run's recipe, none twice, and fit the surrogate on the validation errors.

    Writes `surrogate.safetensors`, whose header says how many evaluations are behind it and their errors'
    range. `on_row`: as in `evaluate_architectures`.
    """
    sample = evaluation_sample(run, space)
    rows = evaluate_architectures(_Subject(run, space, task), sample, store, on_row, judged_on="valid")
    errors = np.array([rows[a].error for a in sample])
    # The model is of logarithms: a network without a mistake counts as having made half of one.
    errors = errors.clip(min=50.0 / task.count(("valid",)))
    surrogate = fit_surrogate(space, sample, errors, task.chance_error, run.config.seed)
    meta = {
        "evaluations": len(sample),
        "judged_on": "valid",
        "errors": [float(errors.min()), float(errors.max())],
        "rows": len(surrogate.onehot),
    }
    run.save_state("surrogate", surrogate.state_dict(), meta)


def load_run_surrogate(run: Run, space: Space) -> AccuracySurrogate:
    """The surrogate that `fit_run_surrogate` wrote."""
    tensors, meta = run.load_state("surrogate")
    surrogate = AccuracySurrogate(space, meta["rows"])
    surrogate.load_state_dict(tensors)
    return surrogate
