"""How good a set of NAS-Bench-201 cells is on a device of the tables, relative to the exact front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UsageError
from harness.datasets.nasbench201 import NasBench201Tables
from modnas.search import indicators
from modnas.spaces import Architecture

DATASETS = ("cifar10", "cifar100", "in16")
# Architectures that learned nothing have no place in the range of the others.
_USELESS_ERROR = 90.0


@dataclass(frozen=True)
class TableQuality:
    """Objectives are (test error in percent, latency in ms), minimised.

    The rule is `true_pareto_hypervolume` of the tables' reference.json: architectures with an error of 90 and
    more are dropped, both objectives min-max scaled over the rest, the reference point is (1, 1).

    Raises UsageError for a device or a data set that the tables do not have.
    """

    tables: NasBench201Tables
    device: str
    dataset: str

    def __post_init__(self) -> None:
        if self.device not in self.tables.latency_ms:
            known = ", ".join(sorted(self.tables.latency_ms))
            raise UsageError(f"the NAS-Bench-201 tables have no device {self.device!r}; they have {known}")
        if self.dataset not in DATASETS:
            raise UsageError(f"data set {self.dataset!r} is none of {', '.join(DATASETS)}")

    @cached_property
    def objectives(self) -> NDArray[np.float64]:
        """Shape (15625, 2), in the tables' order."""
        error = 100.0 - self.tables.metrics[f"test_{self.dataset}"].astype(np.float64)
        return np.stack([error, self.tables.latency_ms[self.device]], 1)

    @cached_property
    def short_objectives(self) -> NDArray[np.float64]:
        """As `objectives`, with the error after the benchmark's separate schedule of 12 epochs."""
        error = 100.0 - self.tables.metrics[f"ep12_test_{self.dataset}"].astype(np.float64)
        return np.stack([error, self.tables.latency_ms[self.device]], 1)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {string: index for index, string in enumerate(self.tables.archs)}

    def indices(self, architectures: Sequence[Architecture]) -> list[int]:
        """Positions of architectures in the tables."""
        return [self._index[architecture.string] for architecture in architectures]

    @cached_property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest objectives, (2,) each, among architectures that learned something."""
        kept = self.objectives[self.objectives[:, 0] < _USELESS_ERROR]
        return kept.min(0), kept.max(0)

    @cached_property
    def exact_hypervolume(self) -> float:
        """Hypervolume of all architectures: no set of them has more."""
        return self._hypervolume(self.objectives)

    def hypervolume_ratio(self, architectures: Sequence[Architecture]) -> float:
        """Hypervolume of a set over that of the exact front: 0 to 1, larger is better."""
        return self._hypervolume(self.objectives[self.indices(architectures)]) / self.exact_hypervolume

    def _hypervolume(self, points: NDArray[np.float64]) -> float:
        return indicators.hypervolume(indicators.scale(points, *self.bounds))
