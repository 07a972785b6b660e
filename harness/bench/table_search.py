"""A search on tables, as all three benchmarks run it: models instead of training and measuring."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from modnas.core.task import TaskLoss
from modnas.search import Search, SearchConfig, SearchDevice, preferences
from modnas.search.front import FrontPoint, distinct
from modnas.search.loop import run_to_end
from modnas.search.reading import FrontReader, cheapest
from modnas.search.refinement import Losses, Score, refine, remembered, score_on
from modnas.spaces import Architecture, Space


@dataclass(frozen=True)
class TableModels:
    """What a search on tables asks, and what its fronts are refined on.

    Args:
        devices: by name, those of the search and those that it does not know.
        task_loss: a model of the error, which looks at no batch.
        errors: the same of architectures, true ones where they are known, percent.
        error_bounds: errors that count as 0 and 1 beside the metrics.
        plain, budget: as of `modnas.search.refinement.refine`.
        validate_every: as of `run_to_end`.
    """

    space: Space
    devices: Mapping[str, SearchDevice]
    task_loss: TaskLoss
    errors: Losses
    error_bounds: tuple[float, float]
    plain: bool = True
    budget: int | None = None
    validate_every: int = 2

    def search(
        self,
        names: Sequence[str],
        config: SearchConfig,
        on_epoch: Callable[[Search], None] = lambda search: None,
        before_epoch: Callable[[Search], None] = lambda search: None,
    ) -> Search:
        """Search on some of the devices; the state kept is the best by predicted hypervolume.

        `on_epoch`, `before_epoch`: told of the search after and before every epoch.
        """
        search = Search(
            self.space,
            None,
            [self.devices[name] for name in names],
            train_batches=lambda epoch: (),
            valid_batches=lambda epoch: itertools.repeat(None),
            task_loss=self.task_loss,
            config=replace(config, error_bounds=self.error_bounds),
            losses=self.errors,
        )
        run_to_end(
            search,
            self.validate_every,
            on_epoch=lambda *_: on_epoch(search),
            before_epoch=lambda: before_epoch(search),
        )
        return search

    def score(self, name: str) -> Score:
        """Objectives of architectures on a device, on the search's scale."""
        return score_on(self.space, self.devices[name], self.errors, self.error_bounds)

    def reader(self, search: Search, certain: Sequence[Architecture] = ()) -> FrontReader:
        """Fronts from a search, chosen from architectures whose error is known too."""
        return FrontReader(search, remembered(self.errors), self.error_bounds, self.budget, certain)

    def kept(self, search: Search, certain: Sequence[Architecture] = ()) -> dict[str, list[Architecture]]:
        """What a user's search gives: fronts of all devices, had as is found best on the search's own."""
        reader = self.reader(search, certain)
        way = cheapest(reader.volumes(search.devices, plain=self.plain))
        return {
            name: [point.architecture for point in reader.front(device, way, plain=self.plain)]
            for name, device in self.devices.items()
        }

    def refined(
        self, name: str, points: Sequence[FrontPoint], count: int, others: Sequence[Architecture] = ()
    ) -> list[Architecture]:
        """A front of at most `count`, refined on the models; `others` as of `refine`."""
        front = refine(
            self.space,
            points,
            self.score(name),
            count,
            budget=self.budget,
            plain=self.plain,
            others=others,
        )
        return [point.architecture for point in front]


def read_off(search: Search, device: SearchDevice) -> list[Architecture]:
    """The front as the paper reads it: the most likely architecture of each preference."""
    return [point.architecture for point in distinct(search.proposals(device))]


def random_points(space: Space, count: int, generator: torch.Generator) -> list[FrontPoint]:
    """Random architectures in place of what a search of two objectives proposes."""
    rows = preferences.spread(count, 2).tolist()
    starts = space.sample(count, generator)
    return [FrontPoint(tuple(row), start) for row, start in zip(rows, starts, strict=True)]
