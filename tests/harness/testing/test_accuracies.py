"""The built-in accuracy sources pass what is asked of other packages', and the checks find what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
import torch
from numpy.typing import ArrayLike

from harness.core.errors import UsageError
from harness.datasets.importing import import_accuracies
from harness.presets import get_preset
from harness.runs.accuracy import ACCURACIES, OnRow, UserFunction
from harness.runs.evaluation import Subject
from harness.runs.run import BY_FUNCTION, Run, RunConfig, TaskAndSpace
from harness.store import Evaluation, Store
from harness.testing import check_accuracy
from harness.testing.accuracies import check_rows
from modnas.spaces import Architecture, get_space


def publish(store: Store) -> None:
    """Puts errors of some networks on the task digits into a store."""
    space = get_space("nasbench201", **get_preset("nasbench201", "quick").space, input_shape=(1, 24, 24))
    some = space.sample(20, torch.Generator().manual_seed(1))
    with NamedTemporaryFile("w+", suffix=".csv") as file:
        file.write("\n".join(["arch,value", *(f"{a.string},{10 + i}" for i, a in enumerate(some))]))
        file.flush()
        import_accuracies(store, Path(file.name), "digits", space)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCURACIES.built_in)
def test_built_in_sources_conform(name: str) -> None:
    check_accuracy(name, prepare=publish)


Function = Callable[[Sequence[Architecture]], ArrayLike]


def check_function(function: Function, kind: type[UserFunction] = UserFunction) -> None:
    config = RunConfig(
        space="nasbench201",
        task="digits",
        devices=("cpu",),
        preset="quick",
        settings=get_preset("nasbench201", "quick").model_copy(update={"task_limit": 100}),
        evaluations=10,
        evaluated_by=BY_FUNCTION,
    )
    made = TaskAndSpace(config)
    subject = Subject(Run.at(config, "check"), made.space, made.task)
    with Store() as store:
        check_rows(kind(subject, store, "valid", function), made.space.references[:3], config)


def test_a_users_function_conforms() -> None:
    asked: list[Architecture] = []

    def errors(architectures: Sequence[Architecture]) -> list[float]:
        asked.extend(architectures)
        return [5.0 + sum(a.choices) for a in architectures]

    check_function(errors)
    assert len(asked) == len(set(asked)) == 3


@pytest.mark.parametrize("wrong", [lambda some: [120.0] * len(some), lambda some: [1.0] * (len(some) + 1)])
def test_what_is_no_error_is_found(wrong: Function) -> None:
    with pytest.raises(UsageError, match="percent"):
        check_function(wrong)


class Forgetful(UserFunction):
    """Asks again for what it knows."""

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        self._known.clear()
        return super().evaluate(architectures, on_row)


def test_a_source_that_evaluates_twice_is_found() -> None:
    with pytest.raises(AssertionError, match="evaluated again"):
        check_function(lambda some: [5.0] * len(some), Forgetful)
    drifting = iter(range(10))
    with pytest.raises(AssertionError, match="second time"):
        check_function(lambda some: [float(next(drifting))] * len(some), Forgetful)
