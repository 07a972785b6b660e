"""A search on tables, as all three benchmarks run it: models instead of training and measuring."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from modnas.core.task import TaskLoss
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.front import distinct
from modnas.spaces import Architecture, Space

_VALIDATE_EVERY = 2


def run_search(
    space: Space,
    devices: Sequence[SearchDevice],
    task_loss: TaskLoss,
    config: SearchConfig,
    *,
    error_bounds: tuple[float, float],
    predict: Callable[[Tensor, Tensor], Tensor] | None = None,
    on_epoch: Callable[[Search], None] = lambda search: None,
) -> Search:
    """Search on the given devices; the state kept is the best by predicted hypervolume.

    Args:
        task_loss: a model of the error, which looks at no batch.
        error_bounds: errors that count as 0 and 1 in that hypervolume.
        predict: all devices' metrics in one call (see `Search`).
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
        predict=predict,
    )
    while not search.finished:
        search.run_epoch()
        on_epoch(search)
        if search.finished or search.epoch % _VALIDATE_EVERY == 0:
            search.validate()
    return search


def read_off(search: Search, device: SearchDevice) -> list[Architecture]:
    """The front as the paper reads it: the most likely architecture of each preference."""
    return [point.architecture for point in distinct(search.front(device.features))]


def character(references: Tensor) -> Tensor:
    """A device's vector: its reference measurements (D,) scaled to [0, 1], float32."""
    return ((references - references.min()) / (references.max() - references.min())).float()
