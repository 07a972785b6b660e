"""Evaluating networks with the weights of a search's supernetwork, each at its own input size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.core.errors import ModnasHwError
from harness.runs.evaluation import evaluate_architectures
from harness.runs.run import Run, RunConfig
from harness.store import Store
from modnas.accuracy.training import recalibrate
from modnas.spaces.mobilenetv3.presets import PRESETS

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("home_folder")]


def make_state(seed: int = 0) -> Any:
    settings = PRESETS["quick"].model_copy(update={"task_limit": 100})
    config = RunConfig(
        space="mobilenetv3", task="digits", devices=("cpu",), preset="quick", settings=settings
    )
    task = config.make_task()
    space = config.make_space(task)
    torch.manual_seed(seed)
    return SimpleNamespace(
        run=SimpleNamespace(config=config, name="run"),
        space=space,
        task=task,
        supernetwork=space.supernetwork(),
    )


def test_presets_make_spaces_of_their_tasks_size():
    state = make_state()
    assert state.space.variant == "w25-1x24to48-10"


def test_a_run_of_a_preset_continues():
    for name, settings in PRESETS.items():
        config = RunConfig(
            space="mobilenetv3", task="digits", devices=("cpu",), preset=name, settings=settings
        )
        assert Run.start(config).path == Run.start(config).path


def test_an_evaluation_is_that_of_the_inherited_weights():
    state = make_state()
    architecture = state.space.references[4]
    with Store() as store:
        row = evaluate_architectures(state, [architecture], store)[architecture]
        # The same by hand: weights taken out, images scaled, statistics fitted, no training.
        task = state.task.resized(state.space.input_shape_of(architecture)[1])
        network = state.supernetwork.extract(architecture)
        recalibrate(network, (batch.inputs for batch in task.batches("train", 64, seed=0)))
        assert row.error == task.test_error(network)
        assert row.losses == []


def test_other_weights_are_another_evaluation():
    first, second = make_state(0), make_state(1)
    architecture = first.space.references[4]
    with Store() as store:
        seen = []
        for state in (first, first, second):
            evaluate_architectures(state, [architecture], store, lambda _row, now: seen.append(now))
        assert seen == [True, False, True]


def test_without_a_supernetwork_nothing_can_be_inherited():
    state = make_state()
    state.supernetwork = None
    with Store() as store, pytest.raises(ModnasHwError, match="give --accuracy supernet"):
        evaluate_architectures(state, [state.space.references[0]], store)
