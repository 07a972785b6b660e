"""Training standalone networks, none twice: the store remembers what was trained and how well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from statistics import fmean

from harness.runs import RunConfig
from harness.search_run import SearchRun
from harness.store import Evaluation, Store, content_key
from modnas.spaces import Architecture, Space
from modnas.training import seeded_network, train


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
    weights = _weights_id(state)
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


def _weights_id(state: SearchRun) -> str | None:
    """What tells the weights that a training starts with from others; None for initial ones."""
    if not state.run.config.settings.recipe.inherit:
        return None
    digest = hashlib.sha256()
    for name, tensor in state.supernetwork.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _key(config: RunConfig, space: Space, architecture: Architecture, weights: str | None) -> str:
    return content_key(
        {
            "arch": architecture.id,
            "variant": space.variant,
            "task": config.task,
            "data_dir": config.data_dir,
            "limit": config.settings.task_limit,
            "recipe": config.settings.recipe.model_dump(),
            "seed": config.seed,
            **({"weights": weights} if weights else {}),
        }
    )


def _evaluate(state: SearchRun, architecture: Architecture, key: str) -> Evaluation:
    config, space = state.run.config, state.space
    recipe = config.settings.recipe
    results = [
        train(
            state.supernetwork.extract(architecture)
            if recipe.inherit
            else seeded_network(space, architecture, seed),
            state.task,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            optimizer=recipe.optimizer,
            label_smoothing=recipe.label_smoothing,
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
