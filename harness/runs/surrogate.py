"""The accuracies of a run without a supernetwork: networks evaluated for it, the surrogate fitted on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UsageError
from harness.runs.accuracy import AccuracySource, OnRow
from harness.runs.predictors import load_predictors, search_device
from harness.runs.run import BY_TRAINING, Run, TaskAndSpace
from harness.store import Store
from modnas.accuracy.evaluated import EvaluatedAccuracy, evaluate_and_fit
from modnas.accuracy.surrogate import AccuracySurrogate
from modnas.core.weights import set_weights
from modnas.spaces import Architecture, Space

# Fewer say nothing about a space.
LEAST_EVALUATIONS = 10


def fit_run_surrogate(
    run: Run, made: TaskAndSpace, store: Store, source: AccuracySource, on_row: OnRow | None = None
) -> None:
    """Evaluate as many networks as the run is to know, none twice, and fit the surrogate on their errors.

    The run has its predictors: an active choice is near the fronts that they let expect.

    Writes `surrogate.safetensors`, whose header has the errors.

    Args:
        on_row: told of each evaluation, and whether it was made now.

    Raises UsageError when there are not so many networks, and as the source does.
    """
    config, task, space = run.config, made.task, made.space
    predictors = load_predictors(run, space)
    devices = [search_device(run, space, predictors, store, name) for name in config.devices]
    # The model is of logarithms: a network without a mistake counts as having made half of one.
    floor = 50.0 / task.count(("valid",))

    def evaluate(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        rows = source.evaluate(architectures, on_row)
        return np.array([rows[a].error for a in architectures]).clip(min=floor)

    try:
        accuracy = evaluate_and_fit(
            space,
            evaluate,
            devices,
            budget=config.evaluations or 0,
            choice=config.choice,
            chance=task.chance_error,
            seed=config.seed,
            pool=source.pool,
        )
    except ValueError as error:
        raise UsageError(f"--evaluations {config.evaluations}: {error}") from error
    known = accuracy.evaluated
    meta = {
        "evaluations": len(known),
        "judged_on": source.judged_on,
        "errors": list(accuracy.bounds),
        "rows": len(accuracy.surrogate.onehot),
        "evaluated": {architecture.string: error for architecture, error in known.items()},
    }
    run.save_state("surrogate", accuracy.surrogate.state_dict(), meta)


def load_run_surrogate(run: Run, space: Space) -> EvaluatedAccuracy:
    """What `fit_run_surrogate` wrote, where the run's networks are.

    Of a run from before the errors were kept it has the surrogate alone.
    """
    with run.blamed():
        tensors, meta = run.load_state("surrogate")
        surrogate = AccuracySurrogate(space, meta["rows"])
        set_weights(surrogate, tensors)
    known = {space.parse(text): error for text, error in meta.get("evaluated", {}).items()}
    exact = run.config.evaluated_by != BY_TRAINING
    return EvaluatedAccuracy(surrogate.to(run.config.accelerator), known, exact)
