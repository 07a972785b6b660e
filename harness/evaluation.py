"""Training standalone networks, none twice: the store remembers what was trained and how well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from statistics import fmean
from typing import Literal, Protocol

from harness.runs import Run, RunConfig
from harness.store import Evaluation, Store, content_key
from modnas.spaces import Architecture, Space
from modnas.tasks import Task
from modnas.training import seeded_network, train

JudgedOn = Literal["test", "valid"]


class Trainable(Protocol):
    """A run with what its networks are made of and trained on."""

    run: Run
    space: Space
    task: Task


def evaluate_architectures(
    state: Trainable,
    architectures: Sequence[Architecture],
    store: Store,
    on_row: Callable[[Evaluation, bool], None] | None = None,
    judged_on: JudgedOn = "test",
) -> dict[Architecture, Evaluation]:
    """Train each architecture by the run's recipe and test it, unless the store has the result.

    Args:
        on_row: called with each row and whether it was trained now.
        judged_on: the split whose error it is. `valid` is for what a search may know: that split is then not
            trained on, and the test split not looked at.

    Raises:
        TrainingError: a training diverged.
    """
    config = state.run.config
    keys = {a: _key(config, state.space, a, judged_on) for a in dict.fromkeys(architectures)}
    stored = store.evaluations(keys.values())
    for architecture, key in keys.items():
        trained = key not in stored
        if trained:
            stored[key] = _evaluate(config, state.space, state.task, architecture, judged_on)
            store.add(stored[key])
        if on_row:
            on_row(stored[key], trained)
    return {a: stored[key] for a, key in keys.items()}


def _key(config: RunConfig, space: Space, architecture: Architecture, judged_on: JudgedOn) -> str:
    return content_key(
        {
            **_unusual(config, judged_on),
            "arch": architecture.id,
            "variant": space.variant,
            "task": config.task,
            "data_dir": config.data_dir,
            "limit": config.settings.task_limit,
            "recipe": config.settings.recipe.model_dump(),
            "seed": config.seed,
        }
    )


def _unusual(config: RunConfig, judged_on: JudgedOn) -> dict[str, str]:
    """What identifies an evaluation besides, where it is not as most are."""
    given = {"judged_on": (judged_on, "test"), "accelerator": (config.accelerator, "cpu")}
    return {name: value for name, (value, usual) in given.items() if value != usual}


def _evaluate(
    config: RunConfig, space: Space, task: Task, architecture: Architecture, judged_on: JudgedOn
) -> Evaluation:
    recipe = config.settings.recipe
    splits: tuple[str, ...] = ("train", "valid")
    if judged_on == "valid":
        task, splits = replace(task, test=task.valid), ("train",)
    results = [
        train(
            seeded_network(space, architecture, seed),
            task,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=seed,
            device=config.accelerator,
            splits=splits,
        )
        for seed in range(config.seed, config.seed + recipe.repeats)
    ]
    return Evaluation(
        key=_key(config, space, architecture, judged_on),
        space=space.name,
        variant=space.variant,
        arch=architecture.string,
        task=config.task,
        error=fmean(result.error for result in results),
        seconds=sum(result.seconds for result in results),
        created_at=datetime.now(timezone.utc),
        recipe={
            **_unusual(config, judged_on),
            **recipe.model_dump(),
            "limit": config.settings.task_limit,
            "seed": config.seed,
        },
        losses=[fmean(epoch) for epoch in zip(*(result.losses for result in results), strict=True)],
    )
