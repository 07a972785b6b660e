"""A search on tables, as all three benchmarks run it: models instead of training and measuring."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from modnas.core.task import TaskLoss
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.front import distinct
from modnas.search.loop import run_to_end
from modnas.spaces import Architecture, Space


def run_search(
    space: Space,
    devices: Sequence[SearchDevice],
    task_loss: TaskLoss,
    config: SearchConfig,
    *,
    error_bounds: tuple[float, float],
    validate_every: int = 2,
    on_epoch: Callable[[Search], None] = lambda search: None,
) -> Search:
    """Search on the given devices; the state kept is the best by predicted hypervolume.

    Args:
        task_loss: a model of the error, which looks at no batch.
        validate_every: as of `run_to_end`.
        error_bounds: errors that count as 0 and 1 in that hypervolume.
        on_epoch: told of the search after every epoch.
    """
    search = Search(
        space,
        None,
        devices,
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: itertools.repeat(None),
        task_loss=task_loss,
        config=replace(config, error_bounds=error_bounds),
    )
    run_to_end(search, validate_every, on_epoch=lambda *_: on_epoch(search))
    return search


def read_off(search: Search, device: SearchDevice) -> list[Architecture]:
    """The front as the paper reads it: the most likely architecture of each preference."""
    return [point.architecture for point in distinct(search.front(device.features))]
