"""Training standalone networks, none twice: the store remembers what was trained and how well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from statistics import fmean

from torch import nn

from harness.errors import ModnasHwError
from harness.runs import RunConfig
from harness.search_run import SearchRun
from harness.store import Evaluation, Store, content_key
from modnas.spaces import Architecture, Space, Supernetwork
from modnas.tasks import Task
from modnas.training import recalibrate, seeded_network, train


def evaluate_architectures(
    state: SearchRun,
    architectures: Sequence[Architecture],
    store: Store,
    on_row: Callable[[Evaluation, bool], None] | None = None,
) -> dict[Architecture, Evaluation]:
    """Train each architecture by the run's recipe and test it, unless the store has the result.

    Args:
        on_row: called with each row and whether it was trained now.

    Raises:
        TrainingError: a training diverged.
    """
    config = state.run.config
    weights = _weights_digest(state) if config.settings.recipe.inherit else None
    keys = {a: _key(config, state.space, a, weights) for a in dict.fromkeys(architectures)}
    stored = store.evaluations(keys.values())
    for architecture, key in keys.items():
        trained = key not in stored
        if trained:
            stored[key] = _evaluate(state, architecture, key)
            store.add(stored[key])
        if on_row:
            on_row(stored[key], trained)
    return {a: stored[key] for a, key in keys.items()}


def _weights_digest(state: SearchRun) -> str:
    """What tells the weights that are inherited from others."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_supernetwork(state).state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _supernetwork(state: SearchRun) -> Supernetwork:
    if state.search.supernetwork is None:
        raise ModnasHwError(f"run {state.run.name} has no supernetwork to inherit weights from")
    return state.search.supernetwork


def _key(config: RunConfig, space: Space, architecture: Architecture, weights: str | None) -> str:
    return content_key(
        {
            "arch": architecture.id,
            "variant": space.variant,
            "task": config.task,
            "data_dir": config.data_dir,
            "limit": config.settings.task_limit,
            "recipe": config.settings.recipe.model_dump(exclude={"inherit"}),
            "seed": config.seed,
            **({"weights": weights} if weights else {}),
        }
    )


def _initial(state: SearchRun, architecture: Architecture, task: Task, seed: int) -> nn.Module:
    """The standalone network before it is trained: fresh, or with inherited weights."""
    recipe = state.run.config.settings.recipe
    if not recipe.inherit:
        return seeded_network(state.space, architecture, seed)
    network = _supernetwork(state).extract(architecture)
    batches = task.batches("train", recipe.batch_size, seed=seed)
    recalibrate(network, (batch.inputs for batch in batches))
    return network


def _evaluate(state: SearchRun, architecture: Architecture, key: str) -> Evaluation:
    config, space, task = state.run.config, state.space, state.task
    recipe = config.settings.recipe
    shape = space.input_shape_of(architecture)
    if shape != space.input_shape:
        task = task.resized(shape[-1])
    results = [
        train(
            _initial(state, architecture, task, seed),
            task,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=seed,
        )
        for seed in range(config.seed, config.seed + recipe.repeats)
    ]
    return Evaluation(
        key=key,
        space=space.name,
        variant=space.variant,
        arch=architecture.string,
        task=config.task,
        error=fmean(result.error for result in results),
        seconds=sum(result.seconds for result in results),
        created_at=datetime.now(timezone.utc),
        recipe={**recipe.model_dump(), "limit": config.settings.task_limit, "seed": config.seed},
        losses=[fmean(epoch) for epoch in zip(*(result.losses for result in results), strict=True)],
    )
