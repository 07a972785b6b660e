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
from modnas import indicators
from modnas.predictor import DeviceTable
from modnas.spaces import Architecture
from modnas.spaces.nasbench201 import REFERENCE_INDICES, NasBench201

Floats = NDArray[np.float64]
# Cells whose latency is known on each search device, and of which an accuracy surrogate is fitted: as many
# as HELP's protocol has.
KNOWN_CELLS = 900
# Architectures of a front.
FRONT_SIZE = 24
CHANCE_ERROR = 90.0


class Problem:
    """CIFAR-10 error against latency on 19 devices.

    Args:
        tables: the published tables.
    """

    def __init__(self, tables: NasBench201Tables) -> None:
        self.tables = tables
        self.space = NasBench201()
        self.cells = self.space.all()
        self.index = {cell: i for i, cell in enumerate(self.cells)}
        self.errors: Floats = 100.0 - tables.metrics["test_cifar10"].astype(np.float64)
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
        """Usable cells whose dead edges are `none`."""
        return [c for c in self.cells if self.space.is_usable(c) and self.space.simplified(c) == c]

    def error(self, architectures: Sequence[Architecture]) -> Floats:
        """Test errors, percent: true evaluations, to be counted."""
        return self.errors[[self.index[a] for a in architectures]]

    @cached_property
    def _judged(self) -> NDArray[np.int64]:
        """The cells that span the scale: all but those that only guess (the rule of the data's README)."""
        return np.flatnonzero(self.errors < CHANCE_ERROR)

    def scaled(self, device: str, architectures: Sequence[Architecture] | None = None) -> Floats:
        """True error and latency, min-max scaled over the space: (n, 2); of all judged cells unless given."""
        points = np.stack([self.errors, self.tables.latency_ms[device]], 1)
        span = points[self._judged]
        rows = span if architectures is None else points[[self.index[a] for a in architectures]]
        return indicators.scale(rows, span.min(0), span.max(0))

    def exact_front(self, device: str) -> Floats:
        """The exact front, scaled: (n, 2)."""
        if device not in self._fronts:
            points = self.scaled(device)
            self._fronts[device] = points[indicators.non_dominated(points)]
        return self._fronts[device]

    @cached_property
    def _fronts(self) -> dict[str, Floats]:
        return {}

    def judge(self, device: str, architectures: Sequence[Architecture]) -> dict[str, float]:
        """Indicators of a set of architectures by the true tables; GD and IGD are smaller when better."""
        points, exact = self.scaled(device, architectures), self.exact_front(device)
        return {
            "hypervolume_ratio": indicators.hypervolume(points) / indicators.hypervolume(exact),
            "gd": indicators.gd(points, exact),
            "igd": indicators.igd(points, exact),
            "gd_plus": indicators.gd_plus(points, exact),
            "igd_plus": indicators.igd_plus(points, exact),
        }
