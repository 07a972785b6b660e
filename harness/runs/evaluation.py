"""Training standalone networks, none twice: the store remembers what was trained and how well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Literal, Protocol

from torch import Tensor, nn

from harness.core.errors import UsageError
from harness.core.home import subfolder
from harness.core.tensors import load_tensors, save_tensors
from harness.runs.inputs import content_at_first, require_content
from harness.runs.run import Run, RunConfig
from harness.store import Evaluation, Store, content_key
from modnas.accuracy.training import recalibrate, seeded_network, train
from modnas.spaces import Architecture, Space, Supernetwork
from modnas.tasks import AnyTask

JudgedOn = Literal["test", "valid"]


class Trainable(Protocol):
    """A run with what its networks are made of and trained on."""

    run: Run
    space: Space
    task: AnyTask

    @property
    def supernetwork(self) -> Supernetwork | None:
        """Weights that networks may inherit."""


@dataclass
class Subject:
    """A `Trainable` before its search."""

    run: Run
    space: Space
    task: AnyTask
    supernetwork: Supernetwork | None = None


def evaluate_architectures(
    state: Trainable,
    architectures: Sequence[Architecture],
    store: Store,
    on_row: Callable[[Evaluation, bool], None] | None = None,
    *,
    judged_on: JudgedOn = "test",
    weights_wanted: bool = False,
) -> dict[Architecture, Evaluation]:
    """Train each architecture by the run's recipe and test it, unless the store has the result.

    Trained weights that were judged on `test` are kept (see `trained_weights`).

    Args:
        on_row: called with each row and whether it was trained now.
        weights_wanted: train again what has a result but no kept weights.
        judged_on: the split whose error it is. `valid` is for what a search may know: that split is then not
            trained on, and the test split not looked at.

    Raises:
        TrainingError: a training diverged.
        UsageError: the task's data are no longer those of the run, or changed during a training.
    """
    config = state.run.config
    content = content_at_first(config)
    require_content(config, content)
    identity = {"content": content, "weights": _weights_id(state)}
    keys = {a: _key(config, state.space, a, judged_on, identity) for a in dict.fromkeys(architectures)}
    stored = store.evaluations(keys.values())
    missing = {
        key
        for key in keys.values()
        if key not in stored or (weights_wanted and not weights_file(key).is_file())
    }
    if missing:
        store.check_writable()
    for architecture, key in keys.items():
        trained = key in missing
        if trained:
            stored[key], network = _evaluate(state, architecture, judged_on, key)
            require_content(config, content)
            if network is not None:
                _keep_weights(network, architecture, key)
            store.add(stored[key])
        if on_row:
            on_row(stored[key], trained)
    return {a: stored[key] for a, key in keys.items()}


def trained_weights(evaluation: Evaluation) -> dict[str, Tensor]:
    """State of the network behind an evaluation, of the first one trained where there are several.

    Raises TensorFileError when it was not kept, or its file is damaged.
    """
    return load_tensors(weights_file(evaluation.key))[0]


def weights_file(key: str) -> Path:
    """Where the weights behind an evaluation are, if they were kept."""
    return subfolder("weights") / f"{key}.safetensors"


def _keep_weights(network: nn.Module, architecture: Architecture, key: str) -> None:
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    save_tensors(weights_file(key), state, {"arch": architecture.id})


def _weights_id(state: Trainable) -> str | None:
    """What tells the weights that a training starts with from others; None for initial ones."""
    if not state.run.config.settings.recipe.inherit:
        return None
    digest = hashlib.sha256()
    for name, tensor in _shared(state).state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _shared(state: Trainable) -> Supernetwork:
    if state.supernetwork is None:
        raise UsageError(
            f"preset {state.run.config.preset} evaluates networks with a supernetwork's weights: "
            "give --accuracy supernet"
        )
    return state.supernetwork


def _key(
    config: RunConfig,
    space: Space,
    architecture: Architecture,
    judged_on: JudgedOn,
    identity: Mapping[str, str | None],
) -> str:
    """What must be equal for a stored evaluation to answer; `identity`: also what no setting says."""
    return content_key(
        {
            **_unusual(config, judged_on),
            "arch": architecture.id,
            "variant": space.variant,
            "task": config.task,
            "data_dir": None,  # rows from before contents were recorded may have one here
            "limit": config.settings.task_limit,
            "recipe": config.settings.recipe.model_dump(exclude={"inherit"}),
            "seed": config.seed,
            **{name: value for name, value in identity.items() if value is not None},
        }
    )


def _unusual(config: RunConfig, judged_on: JudgedOn) -> dict[str, str]:
    """What identifies an evaluation besides, where it is not as most are."""
    given = {"judged_on": (judged_on, "test"), "accelerator": (config.accelerator, "cpu")}
    return {name: value for name, (value, usual) in given.items() if value != usual}


def _initial(state: Trainable, architecture: Architecture, task: AnyTask, seed: int) -> nn.Module:
    """The standalone network before it is trained: fresh, or with inherited weights."""
    recipe = state.run.config.settings.recipe
    if not recipe.inherit:
        return seeded_network(state.space, architecture, seed)
    network = _shared(state).extract(architecture)
    batches = task.batches("train", recipe.batch_size, seed=seed)
    recalibrate(network, (inputs for inputs, _ in batches))
    return network


def _evaluate(
    state: Trainable, architecture: Architecture, judged_on: JudgedOn, key: str
) -> tuple[Evaluation, nn.Module | None]:
    """A new row, and the network whose weights are kept."""
    config, space, task = state.run.config, state.space, state.task
    recipe = config.settings.recipe
    shape = space.input_shape_of(architecture)
    if shape != space.input_shape:
        task = task.resized(shape[-1])
    splits: tuple[str, ...] = ("train", "valid")
    if judged_on == "valid":
        task, splits = task.judged_on_valid(), ("train",)
    results, kept = [], None
    for seed in range(config.seed, config.seed + recipe.repeats):
        network = _initial(state, architecture, task, seed)
        results.append(
            train(
                network,
                task,
                epochs=recipe.epochs,
                batch_size=recipe.batch_size,
                learning_rate=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                optimizer=recipe.optimizer,
                label_smoothing=recipe.label_smoothing,
                seed=seed,
                device=config.accelerator,
                splits=splits,
            )
        )
        if judged_on == "test" and seed == config.seed:
            kept = network
    evaluation = Evaluation(
        key=key,
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
            **({"data_sha256": config.data_sha256} if config.data_sha256 else {}),
        },
        losses=[fmean(epoch) for epoch in zip(*(result.losses for result in results), strict=True)],
    )
    return evaluation, kept
