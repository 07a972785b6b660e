"""How a device's front is had from a search: read off, refined, or without it; and which of these pays.

Under the models that a search has anyway, each way reaches some hypervolume on the devices of the search.
What is kept is the cheapest that is not clearly less than the best: reading off costs nothing, refining an
evaluation for every architecture that is scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

import torch

from modnas.search import indicators, preferences
from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint, distinct
from modnas.search.refinement import Losses, Values, answered, look_at, refine, score_on, select
from modnas.search.search import Search
from modnas.spaces import Architecture

# As the MetaHypernetwork says; refined from there; refined from random architectures, for which no search is
# needed. The cheaper first.
Way = Literal["read-off", "refined", "refined-from-random"]
WAYS: tuple[Way, ...] = get_args(Way)
# Relative difference of volumes by a search's models that says nothing: the true volumes of one way differ as
# much from seed to seed (standard deviation on NAS-Bench-201's tables, `docs/benchmarks.md`).
NOISE = 0.005


@dataclass(frozen=True)
class FrontReader:
    """Fronts of devices from a search that has ended.

    Args:
        losses: the search's first objective.
        bounds: losses that count as 0 and 1 beside the metrics.
        budget: architectures that a refinement scores (see `refinement.refine`).
        certain: architectures whose loss is known exactly, in the form that it belongs to; every way chooses
            from them too.
    """

    search: Search
    losses: Losses
    bounds: tuple[float, float]
    budget: int | None = None
    certain: Sequence[Architecture] = ()

    def front(
        self, device: SearchDevice, way: Way, count: int | None = None, *, plain: bool = True
    ) -> list[FrontPoint]:
        """The front of a device by one of the ways, for at most `count` preferences; each architecture once.

        `plain`: as of `refinement.refine`.
        """
        search, size = self.search, count or self.search.config.front_size
        starts = self._drawn(size) if way == "refined-from-random" else search.proposals(device, size)
        score = score_on(search.space, device, self.losses, self.bounds)
        if way != "read-off":
            return refine(
                search.space, starts, score, size, budget=self.budget, plain=plain, others=self.certain
            )
        read = distinct(starts)
        if not self.certain:
            return read
        found = list(dict.fromkeys([*(point.architecture for point in read), *self.certain]))
        values = score(found)
        chosen = select(values, size)
        rows = answered(values[chosen]).tolist()
        front = [FrontPoint(tuple(row), found[i]) for row, i in zip(rows, chosen, strict=True)]
        return sorted(front, key=lambda point: point.preference[0])

    def looked_at(
        self, device: SearchDevice, others: Sequence[Architecture] = (), *, plain: bool = True
    ) -> tuple[list[Architecture], Values]:
        """What refining the front of a device looks at, and `others`, with their scaled objectives (n, M)."""
        search = self.search
        score = score_on(search.space, device, self.losses, self.bounds)
        starts = search.proposals(device)
        return look_at(
            search.space,
            starts,
            score,
            budget=self.budget,
            plain=plain,
            others=[*self.certain, *others],
        )

    def volumes(self, devices: Iterable[SearchDevice], *, plain: bool = True) -> dict[str, dict[Way, float]]:
        """What each way reaches, by device."""
        return {
            device.name: {way: self.volume(device, self.front(device, way, plain=plain)) for way in WAYS}
            for device in devices
        }

    def volume(self, device: SearchDevice, points: Sequence[FrontPoint]) -> float:
        """Hypervolume of a front by the search's models, up to what counts as 1."""
        score = score_on(self.search.space, device, self.losses, self.bounds)
        return indicators.hypervolume(score([point.architecture for point in points]))

    def _drawn(self, count: int) -> list[FrontPoint]:
        """Random architectures in place of what the search proposes."""
        search = self.search
        rows = preferences.spread(count, search.objectives).tolist()
        drawn = search.space.sample(count, torch.Generator().manual_seed(search.config.seed))
        return [FrontPoint(tuple(row), one) for row, one in zip(rows, drawn, strict=True)]


def cheapest(volumes: Mapping[str, Mapping[Way, float]]) -> Way:
    """The first of the ways whose mean volume over devices is within noise of the best.

    `volumes`: by device and way.
    """
    means = {way: fmean(of[way] for of in volumes.values()) for way in WAYS}
    enough = (1 - NOISE) * max(means.values())
    return next(way for way, mean in means.items() if mean >= enough)


def pays(volumes: Mapping[str, Mapping[Way, float]]) -> bool:
    """Whether a search reaches clearly more than the same refinement from random architectures."""
    searched = fmean(max(of["read-off"], of["refined"]) for of in volumes.values())
    return (1 - NOISE) * searched > fmean(of["refined-from-random"] for of in volumes.values())
