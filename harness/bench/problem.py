"""NAS-Bench-201's tables as a problem: what a method may see, and how its fronts are judged.

A method may ask for latencies and errors of cells and must say how many errors it asked for. It never sees
the exact front, nor more of an unseen device than its reference cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UsageError
from harness.datasets.nasbench201 import NasBench201Tables
from harness.datasets.nasbench201_quality import TableQuality
from harness.runs.predictors import known_sample
from modnas.prediction import DeviceTable
from modnas.search import indicators
from modnas.spaces import Architecture
from modnas.spaces.nasbench201.space import REFERENCE_INDICES, NasBench201

Floats = NDArray[np.float64]
# Cells whose latency is known on each search device, and of which an accuracy surrogate is fitted: as many
# as HELP's protocol has.
KNOWN_CELLS = 900
# Architectures of a front.
FRONT_SIZE = 24
CHANCE_ERROR = 90.0
DATASET = "cifar10"


class Problem:
    """Error, on CIFAR-10 unless said otherwise, against hardware metrics on table devices.

    Args:
        tables: the published tables.
        metrics: `latency`, and `energy` for the two devices that have it.
        search_devices, unseen_devices: the published split unless given.
        budget: cells that a search measures on each device, and cells that it evaluates.
        dataset: whose errors they are.

    Raises:
        UsageError: a device whose tables lack a metric.
    """

    def __init__(
        self,
        tables: NasBench201Tables,
        metrics: Sequence[str] = ("latency",),
        search_devices: Sequence[str] | None = None,
        unseen_devices: Sequence[str] | None = None,
        budget: int = KNOWN_CELLS,
        *,
        dataset: str = DATASET,
    ) -> None:
        self.tables, self.metrics, self.budget = tables, tuple(metrics), budget
        self.dataset = dataset
        self.space = NasBench201()
        self.cells = self.space.all()
        splits = tables.reference["devices"]
        published = [*splits["meta_train"], *splits["meta_valid"]]
        self.search_devices: list[str] = list(published if search_devices is None else search_devices)
        self.unseen_devices: list[str] = list(
            splits["meta_test"] if unseen_devices is None else unseen_devices
        )
        columns = {"latency": tables.latency_ms, "energy": tables.energy_mj}
        self._columns = {metric: columns[metric] for metric in self.metrics}
        for metric, column in self._columns.items():
            if missing := [device for device in self.devices if device not in column]:
                raise UsageError(f"the NAS-Bench-201 tables have no {metric} of {', '.join(missing)}")
        self._exact: dict[str, tuple[Floats, float]] = {}

    @property
    def devices(self) -> list[str]:
        """All devices, those of the search first."""
        return [*self.search_devices, *self.unseen_devices]

    def group(self, device: str) -> str:
        """`search` for a device of the search, `unseen` for one that it does not know."""
        return "search" if device in self.search_devices else "unseen"

    def references(self, device: str, metric: str = "latency") -> Floats:
        """A metric of the ten reference cells, ms or mJ."""
        return self._columns[metric][device][list(REFERENCE_INDICES)]

    def known(self, device: str, metric: str = "latency") -> DeviceTable:
        """What HELP's protocol knows of a search device: its training cells, indices 0 to 899."""
        values = self._columns[metric][device][:KNOWN_CELLS]
        return DeviceTable(device, self.references(device, metric), self.cells[:KNOWN_CELLS], values)

    def measured(self, device: str, metric: str, seed: int) -> DeviceTable:
        """What a search measures on a device: the references, and cells drawn at random."""
        cells = known_sample(self.space, self.budget, seed)
        values = self._columns[metric][device][self.indices(cells)]
        return DeviceTable(device, self.references(device, metric), cells, values)

    @cached_property
    def usable(self) -> list[Architecture]:
        """The cells whose output depends on their input."""
        return [c for c in self.cells if self.space.is_usable(c)]

    def error(self, architectures: Sequence[Architecture]) -> Floats:
        """Test errors, percent: true evaluations, to be counted."""
        return self._errors[self.indices(architectures)]

    def short_error(self, architectures: Sequence[Architecture]) -> Floats | None:
        """Validation errors after the tables' schedule of 12 epochs, percent; None if they lack them."""
        column = self.tables.metrics.get(f"ep12_val_{self.dataset}")
        return None if column is None else 100.0 - column[self.indices(architectures)].astype(np.float64)

    def indices(self, architectures: Sequence[Architecture]) -> list[int]:
        """Positions in the published order."""
        return [self._index[architecture.string] for architecture in architectures]

    def quality(self, device: str) -> TableQuality:
        """The rule that fronts of two objectives are judged by, for methods that evaluate as they go."""
        return TableQuality(self.tables, device, self.dataset)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {string: index for index, string in enumerate(self.tables.archs)}

    @cached_property
    def _errors(self) -> Floats:
        return 100.0 - self.tables.metrics[f"test_{self.dataset}"].astype(np.float64)

    def objectives(self, device: str) -> Floats:
        """True error, percent, and metrics of all cells, (15625, M)."""
        return np.column_stack([self._errors, *(self._columns[m][device] for m in self.metrics)])

    def scaled(self, device: str, architectures: Sequence[Architecture] | None = None) -> Floats:
        """True objectives, min-max scaled over the cells that do better than guessing: (n, M); of all cells
        unless given. The rule of `TableQuality`, for any number of objectives."""
        points = self.objectives(device)
        kept = points[points[:, 0] < CHANCE_ERROR]
        rows = points if architectures is None else points[self.indices(architectures)]
        return indicators.scale(rows, kept.min(0), kept.max(0))

    def exact_front(self, device: str) -> Floats:
        """The exact front, scaled, each point once: (n, M)."""
        return self._exactly(device)[0]

    def _exactly(self, device: str) -> tuple[Floats, float]:
        """The exact front and its hypervolume."""
        if device not in self._exact:
            points = self.scaled(device)
            points = points[points[:, 0] <= 1]  # cells that only guess, however fast, are no trade-off
            front = np.unique(points[indicators.non_dominated(points)], axis=0)
            self._exact[device] = front, indicators.hypervolume(front)
        return self._exact[device]

    def hypervolume_ratio(self, device: str, architectures: Sequence[Architecture]) -> float:
        """Share of the exact front's hypervolume that a set dominates, by the true tables."""
        return indicators.hypervolume(self.scaled(device, architectures)) / self._exactly(device)[1]

    def judge(self, device: str, architectures: Sequence[Architecture]) -> dict[str, float]:
        """Figures of a set of architectures by the true tables; smaller is better but for the volume."""
        points, exact = self.scaled(device, architectures), self.exact_front(device)
        errors = self._errors[self.indices(architectures)]
        return {
            "hypervolume_ratio": self.hypervolume_ratio(device, architectures),
            "gd": indicators.gd(points, exact),
            "igd": indicators.igd(points, exact),
            "gd_plus": indicators.gd_plus(points, exact),
            "igd_plus": indicators.igd_plus(points, exact),
            "best_error": float(errors.min()),
            "mean_error": float(errors.mean()),
        }
