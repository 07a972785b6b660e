"""What every accuracy source must do: errors in percent of any architecture, the same when asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from harness.presets import Recipe, get_preset
from harness.runs.accuracy import ACCURACIES, AccuracySource, accuracy_source, get_accuracy
from harness.runs.evaluation import JudgedOn, Subject
from harness.runs.run import BY_TRAINING, Run, RunConfig, TaskAndSpace
from harness.store import Evaluation, Store
from harness.testing.home import own_home
from modnas.spaces import Architecture

SPLITS: tuple[JudgedOn, ...] = ("valid", "test")


def check_accuracy(
    name: str,
    *,
    space: str = "nasbench201",
    task: str = "digits",
    prepare: Callable[[Store], None] = lambda store: None,
) -> None:
    """Check an accuracy source on some networks of a space.

    Args:
        space, task: names of such as it has errors of.
        prepare: puts what it looks up into the store, which is empty.

    Raises AssertionError: it does not do what a source must; the message says what.
    """
    trains = get_accuracy(name) is get_accuracy("surrogate")
    short = {"task_limit": 100, "recipe": Recipe(epochs=1)}
    config = RunConfig(
        space=space,
        task=task,
        devices=("cpu",),
        preset="quick",
        settings=get_preset(space, "quick").model_copy(update=short),
        evaluations=10,
        evaluated_by=BY_TRAINING if trains else name,
        accuracy_function=ACCURACIES.origin(name),
    )
    with own_home(), Store() as store:
        prepare(store)
        made = TaskAndSpace(config)
        subject = Subject(Run.at(config, "check"), made.space, made.task)
        some = made.space.sample(4, torch.Generator().manual_seed(0))
        for split in SPLITS:
            source = accuracy_source(subject, store, split)
            asked = check_pool(source, some)
            errors = check_rows(source, asked, config)
            again = check_rows(accuracy_source(subject, store, split), asked, config)
            assert again == errors, "a source that is made anew says other errors of the same architectures"


def check_pool(source: AccuracySource, some: Sequence[Architecture]) -> list[Architecture]:
    """Four architectures that it has errors of: `some`, or where it has not of all, of its own."""
    if source.pool is None:
        return [*some]
    pool = [*source.pool()]
    assert len(set(pool)) == len(pool), "the pool has an architecture twice"
    assert [*source.pool()] == pool, "the pool is another the second time"
    assert len(pool) >= len(some), f"there are errors of {len(pool)} architectures: nothing to choose from"
    return pool[: len(some)]


def check_rows(
    source: AccuracySource, architectures: Sequence[Architecture], config: RunConfig
) -> dict[Architecture, float]:
    """Ask for errors twice, together and in another order; what they are."""
    assert source.judged_on, "judged_on is empty: a front says whose errors they are"
    told: list[tuple[str, bool]] = []

    def on_row(row: Evaluation, now: bool) -> None:
        told.append((row.arch, now))

    found = source.evaluate([*architectures, architectures[0]], on_row)
    assert set(found) == set(architectures), "there is not one row for each architecture"
    assert sorted(arch for arch, _ in told) == sorted(a.string for a in architectures), (
        "on_row is not told of each architecture once"
    )
    for architecture, row in found.items():
        assert row.arch == architecture.string, f"the row of {architecture.string} is of {row.arch}"
        assert (row.space, row.task) == (config.space, config.task), f"a row of {row.space} on {row.task}"
        assert 0 <= row.error <= 100, f"{row.error} is no error in percent"
    told.clear()
    errors = {a: row.error for a, row in found.items()}
    again = source.evaluate([*reversed(architectures)], on_row)
    assert {a: row.error for a, row in again.items()} == errors, "the errors are others the second time"
    assert not any(now for _, now in told), "what was evaluated is evaluated again"
    assert source.evaluate([]) == {}, "there are rows of no architecture"
    return errors
