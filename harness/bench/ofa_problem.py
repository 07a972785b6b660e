"""The once-for-all tables as a problem: what a method may see, and how its fronts are judged.

The first objective is the error by once-for-all's accuracy predictor, which every method may ask as often
as it likes. What costs is measuring a latency: a method says how many networks it has measured on a device.
It never sees more of the unseen device than the reference networks and what it measures there itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness.bench.ofa_judge import Floats, Judge
from harness.datasets.ofa import OfaTables
from modnas.prediction import DeviceTable
from modnas.search import SearchConfig, indicators
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.network import Block

CONFIG = SearchConfig(
    hypernetwork="conditioned",
    learning="imitation",
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    tables=MobileNetV3.tables,
    front_size=24,
)


@dataclass(frozen=True)
class Effort:
    """What methods may spend.

    `search`: settings of MODNAS; `known`: networks that are measured on each device of the search besides
    the references, as in HELP's protocol; `generations`: of once-for-all's evolution.
    """

    search: SearchConfig = CONFIG
    known: int = 900
    generations: int = 100

    @property
    def front_size(self) -> int:
        """Networks of each front, at most."""
        return self.search.front_size

    @property
    def budget(self) -> int:
        """Networks that a method measures on a device in all: MODNAS's, its references and its front."""
        return self.known + 10 + self.front_size


FULL = Effort()


class OfaProblem:
    """Error against latency on 12 devices, one of them unseen.

    Args:
        tables: the published tables.
        effort: of the methods that are compared.
        search_devices: the published ones unless given.
    """

    def __init__(
        self,
        tables: OfaTables,
        effort: Effort = Effort(),
        search_devices: Sequence[str] | None = None,
    ) -> None:
        self.tables, self.space, self.accuracy = tables, tables.space, tables.accuracy
        self.effort = effort
        self.judge_model = Judge(tables)
        splits = tables.reference["devices"]
        published = [*splits["meta_train"], *splits["meta_valid"]]
        self.search_devices: list[str] = list(published if search_devices is None else search_devices)
        self.unseen_devices: list[str] = list(splits["meta_test"])
        self._references = [int(i) for i in tables.reference["hardware_embedding_index"]]
        self._bounds: dict[str, tuple[Floats, Floats]] = {}

    @property
    def devices(self) -> list[str]:
        """All devices, those of the search first."""
        return [*self.search_devices, *self.unseen_devices]

    def group(self, device: str) -> str:
        """`search` for a device of the search, `unseen` for one that it does not know."""
        return "search" if device in self.search_devices else "unseen"

    def references(self, device: str) -> Floats:
        """Measured latencies of the ten reference networks, ms."""
        return self.tables.latency_ms[device][self._references]

    def known(self, device: str, count: int) -> DeviceTable:
        """Measurements of the table's first networks, and of the references."""
        values = self.tables.latency_ms[device][:count]
        return DeviceTable(device, self.references(device), self.tables.architectures[:count], values)

    @torch.no_grad()
    def error(self, architectures: Sequence[Architecture]) -> Floats:
        """Error by the accuracy predictor, percent: (n,)."""
        return np.asarray(self.accuracy(self.space.encode(architectures)).double().numpy())

    def objectives(self, device: str, architectures: Sequence[Architecture]) -> Floats:
        """Error and judged latency, (n, 2). A method that calls this measures these networks."""
        latency_ms = self.judge_model.latency_ms(device, architectures)
        return np.stack([self.error(architectures), latency_ms], axis=1)

    def bounds(self, device: str) -> tuple[Floats, Floats]:
        """Objectives that count as 0 and 1: the range over the table's networks and two extremes, all of the
        smallest and all of the largest."""
        if device not in self._bounds:
            sides = self.space.sides
            extremes = [
                self.space.describe(side, [[block] * depth] * 5)
                for side, block, depth in ((sides[0], Block(3, 3), 2), (sides[-1], Block(7, 6), 4))
            ]
            points = self.objectives(device, [*self.tables.architectures, *extremes])
            self._bounds[device] = points.min(0), points.max(0)
        return self._bounds[device]

    def scaled(self, device: str, architectures: Sequence[Architecture]) -> Floats:
        """Objectives scaled by `bounds`, (n, 2)."""
        return indicators.scale(self.objectives(device, architectures), *self.bounds(device))

    def hypervolume(self, device: str, architectures: Sequence[Architecture]) -> float:
        """Share of the box between `bounds` that a set dominates, 0 to 1, larger is better."""
        return indicators.hypervolume(self.scaled(device, architectures).clip(min=0))
