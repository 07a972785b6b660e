"""NAS-Bench-201's tables as a problem: what a method may see, and how its fronts are judged.

A method may ask for latencies and errors of cells and must say how many errors it asked for. It never sees
the exact front, nor more of an unseen device than its reference cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.tables.nasbench201 import NasBench201Tables
from harness.tables.nasbench201_quality import TableQuality
from modnas import indicators
from modnas.predictor import DeviceTable
from modnas.spaces import Architecture
from modnas.spaces.nasbench201 import REFERENCE_INDICES, NasBench201
from modnas.spaces.nasbench201_cells import NONE, live_edges

Floats = NDArray[np.float64]
# Cells whose latency is known on each search device, and of which an accuracy surrogate is fitted: as many
# as HELP's protocol has.
KNOWN_CELLS = 900
# Architectures of a front.
FRONT_SIZE = 24
CHANCE_ERROR = 90.0
DATASET = "cifar10"


class Problem:
    """CIFAR-10 error against latency on 19 devices.

    Args:
        tables: the published tables.
    """

    def __init__(self, tables: NasBench201Tables) -> None:
        self.tables = tables
        self.space = NasBench201()
        self.cells = self.space.all()
        self._qualities: dict[str, TableQuality] = {}
        self._fronts: dict[str, Floats] = {}
        splits = tables.reference["devices"]
        self.search_devices: list[str] = [*splits["meta_train"], *splits["meta_valid"]]
        self.unseen_devices: list[str] = list(splits["meta_test"])

    @property
    def devices(self) -> list[str]:
        """All devices, those of the search first."""
        return [*self.search_devices, *self.unseen_devices]

    def group(self, device: str) -> str:
        """`search` for a device of the search, `unseen` for one that it does not know."""
        return "search" if device in self.search_devices else "unseen"

    def references(self, device: str) -> Floats:
        """Latencies of the ten reference cells, ms."""
        return self.tables.latency_ms[device][list(REFERENCE_INDICES)]

    def known(self, device: str) -> DeviceTable:
        """What the search knows of a search device: HELP's training cells, indices 0 to 899."""
        latency = self.tables.latency_ms[device][:KNOWN_CELLS]
        return DeviceTable(device, self.references(device), self.cells[:KNOWN_CELLS], latency)

    def evaluated(self, count: int, seed: int) -> list[Architecture]:
        """Distinct networks drawn uniformly: usable cells without dead operators."""
        order = np.random.default_rng(seed).permutation(len(self.networks))
        return [self.networks[i] for i in order[:count]]

    @cached_property
    def networks(self) -> list[Architecture]:
        """Usable cells whose dead edges are `none`. Twins that differ in numbering or bypassed nodes stay:
        fronts may hold such forms, so the surrogate has to know them."""
        return [c for c in self.cells if self.space.is_usable(c) and _all_alive(c)]

    def error(self, architectures: Sequence[Architecture]) -> Floats:
        """Test errors, percent: true evaluations, to be counted."""
        quality = self.quality(self.search_devices[0])
        return quality.objectives[quality.indices(architectures), 0]

    def quality(self, device: str) -> TableQuality:
        """The device's true objectives, error and latency, and the rule that fronts are judged by."""
        if device not in self._qualities:
            self._qualities[device] = TableQuality(self.tables, device, DATASET)
        return self._qualities[device]

    def scaled(self, device: str, architectures: Sequence[Architecture] | None = None) -> Floats:
        """True error and latency, min-max scaled as by `TableQuality`: (n, 2); of all cells unless given."""
        quality = self.quality(device)
        points = quality.objectives
        rows = points if architectures is None else points[quality.indices(architectures)]
        return indicators.scale(rows, *quality.bounds)

    def exact_front(self, device: str) -> Floats:
        """The exact front, scaled, each point once: (n, 2)."""
        if device not in self._fronts:
            points = self.scaled(device)
            points = points[points[:, 0] <= 1]  # cells that only guess, however fast, are no trade-off
            self._fronts[device] = np.unique(points[indicators.non_dominated(points)], axis=0)
        return self._fronts[device]

    def judge(self, device: str, architectures: Sequence[Architecture]) -> dict[str, float]:
        """Indicators of a set of architectures by the true tables; GD and IGD are smaller when better."""
        points, exact = self.scaled(device, architectures), self.exact_front(device)
        return {
            "hypervolume_ratio": self.quality(device).hypervolume_ratio(architectures),
            "gd": indicators.gd(points, exact),
            "igd": indicators.igd(points, exact),
            "gd_plus": indicators.gd_plus(points, exact),
            "igd_plus": indicators.igd_plus(points, exact),
        }


def _all_alive(cell: Architecture) -> bool:
    alive = live_edges(cell.choices)
    return all(is_alive or op == NONE for op, is_alive in zip(cell.choices, alive, strict=True))
