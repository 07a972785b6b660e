"""Hardware in the loop: between epochs a search has networks measured and goes on with what it then knows.

Nothing is trained meanwhile, so that the machine of the search can be a device too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.core.progress import Note, Progress
from harness.datasets.training_sets import conditions, device_deviations
from harness.devices.profile import DeviceProfile
from harness.devices.table import TableDevice, stored_table
from harness.measure.failures import failure_text
from harness.measure.side_by_side import Outcome, measure_each
from harness.runs import loop_record
from harness.runs.lookup import look_up
from harness.runs.predictors import hardware_metrics, reference_values, refit_predictors
from harness.runs.results import LoopDevice, LoopNetwork
from harness.runs.search import SearchRun
from harness.store import Measurement, Store
from harness.store.metrics import get_metric, value_of
from modnas.accuracy.evaluated import EvaluatedAccuracy
from modnas.prediction.gaussian_process import NORMAL_QUANTILE
from modnas.search.devices import SearchDevice
from modnas.search.in_the_loop import next_networks, schedule
from modnas.search.reading import FrontReader
from modnas.search.refinement import Values
from modnas.spaces import Architecture

LATENCY = "latency"
Chosen = dict[str, list[Architecture]]


class InTheLoop:
    """Measures for a run while it is searched.

    Args:
        find: gives a device by its id.
    """

    def __init__(
        self,
        state: SearchRun,
        store: Store,
        find: Callable[[str], DeviceProfile | TableDevice],
        progress: Progress,
    ) -> None:
        self._state, self._store, self._progress = state, store, progress
        self._run, self._space = state.run, state.space
        self._devices = {name: find(name) for name in state.run.config.devices}
        self._metrics = hardware_metrics(state.run)
        self._schedule = schedule(state.search.config.epochs, state.run.config.measure)

    def before_epoch(self) -> None:
        """Measure and refit if it is time for that and not done yet.

        What a device has not measured when it goes away is measured in the next round, if it is back.
        """
        epoch = self._state.search.epoch
        if epoch in self._schedule and all(r["epoch"] != epoch for r in loop_record.rounds(self._run)):
            self._round(epoch, self._schedule[epoch])

    def _round(self, epoch: int, target: int) -> None:
        known = {device.name: device for device in self._state.devices(self._store)}
        chosen = self._choose(known, target)
        found, outcome = self._measure(chosen)
        devices: dict[str, LoopDevice] = {}
        for name, some in chosen.items():
            change = self._change(name, outcome)
            devices[name] = self._document(known[name], some, found[name], change or 0.0)
            if change is not None:
                devices[name]["anchor_change"] = change
            if name in outcome.lost:
                devices[name]["lost"] = outcome.lost[name]
        loop_record.add_round(self._run, {"epoch": epoch, "devices": devices})
        self._state.learn(refit_predictors(self._run, self._space), self._store)
        for name, document in devices.items():
            self._progress(Note(self._told(name, document, epoch)))

    def _choose(self, known: Mapping[str, SearchDevice], target: int) -> Chosen:
        """The networks that bring what was measured on each device to `target`, or closer to it."""
        reader = self._state.reader(in_between=True)
        tables = [loop_record.known_tables(self._run, self._space, metric) for metric in self._metrics]
        signs = [metric.sign for metric in self._metrics]
        chosen: Chosen = {}
        for (name, device), of_device in zip(known.items(), zip(*tables, strict=True), strict=True):
            values = loop_record.values_of(of_device)
            measured = {a: np.multiply(of, signs).tolist() for a, of in values.items()}
            chosen[name] = self._choose_on(device, reader, measured, target)
        return chosen

    def _choose_on(
        self,
        device: SearchDevice,
        reader: FrontReader,
        measured: Mapping[Architecture, list[float]],
        target: int,
    ) -> list[Architecture]:
        """`measured`: metrics by architecture, minimised."""
        sent = loop_record.networks(self._run, device.name)
        tried = {self._space.parse(one["arch"].partition(":")[2]) for one in sent}
        cheap = isinstance(self._state.accuracy, EvaluatedAccuracy)
        there = self._can_be_measured(device.name)
        return next_networks(
            reader,
            device,
            lambda some: self._deviations(device.name, some),
            measured,
            max(0, target - sum("measured" in one for one in sent)),
            others=[a for a in measured if cheap or a in tried],
            plain=not isinstance(self._devices[device.name], TableDevice),
            there=lambda a: there(a) and (a not in tried or a in measured),
        )

    def _deviations(self, name: str, some: Sequence[Architecture]) -> Values:
        """Standard deviations of what is predicted of a device, (n, M - 1)."""
        columns = []
        for metric, predictor in self._state.predictors.items():
            references = reference_values(self._run, self._store, name, self._space, metric)
            guess = predictor.predict(some, references)
            columns.append((guess.upper - guess.value) / NORMAL_QUANTILE)
        return np.stack(columns, axis=1)

    def _can_be_measured(self, name: str) -> Callable[[Architecture], bool]:
        """Whether a device can be asked about an architecture: a table has those it has."""
        if not isinstance(self._devices[name], TableDevice):
            return lambda architecture: True
        tables = [stored_table(self._store, name, self._space, metric.name) for metric in self._metrics]
        return lambda architecture: all(t is not None and architecture.string in t.values for t in tables)

    def _measure(self, chosen: Chosen) -> tuple[dict[str, dict[str, Measurement]], Outcome]:
        """Rows by device and architecture, and what else became of the devices."""
        found: dict[str, dict[str, Measurement]] = {}
        profiles: list[DeviceProfile] = []
        for name, device in self._devices.items():
            if isinstance(device, DeviceProfile):
                profiles.append(device)
            else:
                report = look_up(self._store, name, self._space, self._metrics, chosen[name])
                found[name] = {row.arch: row for row in report.rows}
        outcome = measure_each(
            profiles,
            self._space,
            chosen,
            self._store,
            seed=self._run.config.seed,
            metrics=self._metrics,
            progress=self._progress,
        )
        for name in (profile.id for profile in profiles):
            rows, other = self._rows(name, chosen[name])
            found[name] = rows
            if other and not rows:
                outcome.lost.setdefault(name, "it is not in the state in which it was profiled")
        return found, outcome

    def _change(self, name: str, outcome: Outcome) -> float | None:
        """By how much a device is slower than when it was profiled, by its anchor; None where that is not
        known, or is no more than its measurements drift anyway."""
        device = self._devices[name]
        if name not in outcome.anchors_ms or LATENCY not in self._state.predictors:
            return None
        references = reference_values(self._run, self._store, name, self._space, LATENCY)
        before = dict(zip(self._space.references, references, strict=True)).get(self._space.anchor)
        change = outcome.anchors_ms[name] / before - 1 if before else 0.0
        limit = device.policy.drift_limit if isinstance(device, DeviceProfile) else 0.0
        return change if abs(change) > limit else None

    def _rows(self, name: str, some: Sequence[Architecture]) -> tuple[dict[str, Measurement], bool]:
        """The newest rows of architectures on a device in the state in which it was profiled, and whether
        there are rows of another state."""
        wanted, state = {a.string for a in some}, loop_record.state_of(self._run, name)
        rows = self._store.device_measurements(name, self._space.name, self._space.variant)
        rows = [row for row in rows if row.arch in wanted]
        like = {row.arch: row for row in rows if conditions(row) == state}
        return like, len(like) < len({row.arch for row in rows})

    def _document(
        self,
        device: SearchDevice,
        some: Sequence[Architecture],
        rows: Mapping[str, Measurement],
        change: float,
    ) -> LoopDevice:
        """What was predicted and measured of networks that were sent to a device; `change`: of its anchor."""
        sent = [a for a in some if a.string in rows]
        deviations = self._known_deviations(device.name, list(rows.values()), change)
        predicted = self._predicted(device, sent)
        networks: list[LoopNetwork] = []
        for architecture, values in zip(sent, predicted, strict=True):
            row = rows[architecture.string]
            one: LoopNetwork = {"arch": architecture.id, "predicted": values}
            measured = {m.key: value for m in self._metrics if (value := value_of(m, row)) is not None}
            if measured:
                one["measured"] = measured
                if known := deviations.get(architecture):
                    one["deviation"] = known
            else:
                one["failure"] = failure_text(row) or "it has none of the metrics"
            networks.append(one)
        agreed = {m.name: loop_record.agreement(networks, m) for m in self._metrics}
        return {
            "networks": networks,
            "agreement": {metric: figures for metric, figures in agreed.items() if figures is not None},
        }

    def _predicted(self, device: SearchDevice, some: Sequence[Architecture]) -> list[dict[str, float]]:
        if not some:
            return []
        values = device.metrics(self._space, some) * [metric.sign for metric in self._metrics]
        return [dict(zip([m.key for m in self._metrics], row, strict=True)) for row in values.tolist()]

    def _known_deviations(
        self, name: str, rows: Sequence[Measurement], change: float
    ) -> dict[Architecture, dict[str, float]]:
        """Standard deviations of measured values by architecture and metric, where they are known.

        Latencies of a device that has changed are taken to be as far off as its anchor.
        """
        found: dict[Architecture, dict[str, float]] = {}
        if not rows or isinstance(self._devices[name], TableDevice):
            return found
        for metric in self._metrics:
            of = device_deviations(self._store, name, self._space, metric.name, like=rows[0])
            for architecture, deviation in of.items():
                found.setdefault(architecture, {})[metric.key] = deviation
        for row in rows if change else ():
            architecture, latency = self._space.parse(row.arch), get_metric(LATENCY)
            if (value := value_of(latency, row)) is not None:
                of_network = found.setdefault(architecture, {})
                of_network[latency.key] = max(of_network.get(latency.key, 0.0), abs(change) * value)
        return found

    def _told(self, name: str, document: LoopDevice, epoch: int) -> str:
        """One line on what a round came to on a device."""
        measured = sum("measured" in one for one in document["networks"])
        off = [
            f"{metric} predicted {100 * figures['median_error']:.1f} % off (median)"
            for metric, figures in document["agreement"].items()
            if figures["median_error"] is not None
        ]
        parts = [f"{name}: {measured} networks measured after epoch {epoch}", *off]
        if "anchor_change" in document:
            parts.append(
                f"its anchor's latency is {document['anchor_change']:+.0%} from when it was profiled, so "
                "that these count less"
            )
        if failed := len(document["networks"]) - measured:
            parts.append(f"{failed} failed")
        if "lost" in document:
            parts.append(f"the search goes on without the others: {document['lost']}")
        return "; ".join(parts)
