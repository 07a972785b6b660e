"""Training found networks: repeats, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.presets import Recipe
from harness.runs.evaluation import evaluate_architectures
from harness.runs.run import RunConfig
from harness.store import Store
from modnas.spaces.nasbench201.presets import PRESETS


def state(repeats: int, seed: int = 0) -> Any:
    settings = PRESETS["quick"].model_copy(
        update={"task_limit": 100, "task_side": 8, "recipe": Recipe(epochs=2, repeats=repeats)}
    )
    config = RunConfig(
        space="nasbench201", task="digits", devices=("cpu",), preset="quick", settings=settings, seed=seed
    )
    task = config.make_task()
    return SimpleNamespace(run=SimpleNamespace(config=config), space=config.make_space(task), task=task)


@pytest.mark.trains
def test_error_is_the_mean_of_its_trainings(home_folder: Path) -> None:
    both = state(repeats=2)
    cell = both.space.references[0]
    with Store() as store:
        first = evaluate_architectures(state(1, seed=0), [cell], store)[cell]
        second = evaluate_architectures(state(1, seed=1), [cell], store)[cell]
        mean = evaluate_architectures(both, [cell], store)[cell]
        assert first.losses != second.losses
        assert mean.error == pytest.approx((first.error + second.error) / 2)
        pairs = zip(first.losses, second.losses, strict=True)
        assert mean.losses == pytest.approx([(a + b) / 2 for a, b in pairs])
        seen = []
        again = evaluate_architectures(both, [cell], store, lambda _row, trained: seen.append(trained))
        assert (again[cell].error, seen) == (mean.error, [False])
        assert store.counts()["evaluations"] == 3
