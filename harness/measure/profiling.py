"""Measuring many architectures on one device: nothing twice, every failure a row."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import inspect

from harness.backends import open_exporter
from harness.core.errors import DeviceUnavailableError, needed
from harness.datasets.training_sets import conditions
from harness.devices.profile import POLICY_IN_KEY, DeviceProfile
from harness.export import Artifact, ArtifactCache, ExportError
from harness.export.prefetch import Prefetcher
from harness.export.tvm.errors import CompileError
from harness.measure.control import Control
from harness.measure.drift import measure_in_blocks
from harness.measure.energy_source import EnergySource
from harness.measure.failures import failure_text, is_retried
from harness.measure.reports import ProfileReport
from harness.measure.session import DAMAGED, DeviceSession
from harness.store import Measurement, Store, StoredRows, content_key
from harness.store.metrics import HardwareMetric, read
from harness.store.transient import is_transient
from harness.transport.base import Frame
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture


def measurement_key(
    session: DeviceSession,
    made_with: Mapping[str, Any],
    source: ArchitectureSource,
    architecture: Architecture,
) -> str:
    """What must be equal for a stored measurement to answer a new request.

    `made_with`: what of the file's making counts (see `Exporter.key`).
    """
    profile = session.profile
    policy = profile.policy.model_dump()
    return content_key(
        {
            "arch": architecture.id,
            "variant": source.variant,
            "device": profile.name,
            "fingerprint": session.fingerprint,
            "backend": profile.backend,
            "options": {**session.backend_options(), **made_with},
            "batch": profile.batch,
            "protocol": {name: policy[name] for name in POLICY_IN_KEY},
        }
    )


def profile_device(
    profile: DeviceProfile,
    source: ArchitectureSource,
    architectures: Sequence[Architecture],
    store: Store,
    *,
    seed: int = 0,
    metrics: Sequence[HardwareMetric] = (),
    per_op: bool = False,
    fresh: bool = False,
    read_anchor: bool = False,
    retry_before: datetime | None = None,
    on_row: Callable[[Measurement, ProfileReport], None] | None = None,
    on_start: Callable[[int, int], None] | None = None,
) -> ProfileReport:
    """Measure what the store does not have yet, in random order, and return all rows.

    What is measured while the device drifts or is disturbed is measured once more (`harness.measure.drift`).

    Args:
        fresh: measure everything, whatever the store has.
        read_anchor: where anything is measured, tell what the anchor takes then.
        retry_before: measure stored failures again that are older than this, unless their reason would not go
            away (see `harness.measure.failures`).
        metrics: what is wanted beside the latency. Stored rows without it do not count then, if it could be
            measured: what needs a power sensor where the device has one.
        seed: of the order, so that slow changes of the device do not line up with a property of the networks.
        per_op: also take the time of every kind of operator, where the backend can tell it.
        on_row: called after each new row.
        on_start: called once with (architectures to measure, architectures already stored).

    Raises:
        DeviceUnavailableError: the device is or goes away, or fails in a way that is not the network's fault;
            rows measured before are kept, nothing is stored of what failed.
        StoreError: a row cannot be written; where that is so from the start, nothing is measured.
    """
    start = time.perf_counter()
    report = ProfileReport(profile.id, tuple(metrics))
    with needed("keep networks' files"):
        cache = ArtifactCache()
    with DeviceSession(profile) as session, closing(open_exporter(profile, cache)) as exporter:
        if any(metric.needs_sensor for metric in metrics):
            report.energy = EnergySource.of(session)
        made_with = exporter.key(source)
        keys = {a: measurement_key(session, made_with, source, a) for a in dict.fromkeys(architectures)}
        newest, answered = _Newest(store), set()
        for row in store.each_measurement(keys.values()):
            newest.see(row)
            outdated = _outdated(row, report, profile, per_op) or is_retried(row, retry_before)
            if not (fresh or outdated):
                answered.add(row.key)
        missing = [a for a in keys if keys[a] not in answered]
        random.Random(seed).shuffle(missing)
        report.reused = len(answered)
        report.failed_reused = len(answered & newest.failed)
        if missing:
            store.check_writable()
        if on_start:
            on_start(len(missing), report.reused)

        def keep(row: Measurement) -> Measurement:
            # It works, as was seen: what answers from now on is the success, with the failure told.
            success = newest.success(row.key) if is_transient(row) else None
            store.add(row)
            newest.see(row)
            if success is not None:
                mark(success, f"measured again it failed: {failure_text(row)}")
            if on_row:
                on_row(row, report)
            return row

        def mark(row: Measurement, reason: str) -> None:
            marked = _with_warning(row, reason)
            store.add(marked)
            newest.see(marked)

        with Prefetcher(exporter, source, profile.batch, missing, parallel=profile.ssh is not None) as files:
            profiler = _Profiler(session, files, source, report, per_op)
            report.blocks = measure_in_blocks(
                missing,
                lambda architecture: keep(profiler.measure(architecture, keys[architecture])),
                profiler.read_anchor,
                lambda architecture, reason: mark(newest.row(keys[architecture]), reason),
                size=profile.policy.anchor_every,
                limit=profile.policy.drift_limit,
            )
            if read_anchor and missing:
                report.anchor_ms = profiler.read_anchor()
        cache.prune()
    report.rows = StoredRows(store, [newest.ids[key] for key in keys.values()])
    if report.rows and not report.measured:
        _make_newest(store, report.rows[-1])
    report.failed = len(newest.failed)
    report.seconds = time.perf_counter() - start
    return report


def operator_rows(rows: Sequence[Measurement]) -> list[tuple[str, float, float, float]]:
    """(kind of operator, mean count, mean ms, share of the time) over the rows that know, slowest first."""
    tables = [row.record["per_op"] for row in rows if row.record.get("per_op")]
    counts: Counter[str] = Counter()
    times_ms: Counter[str] = Counter()
    for entry in (entry for table in tables for entry in table):
        counts[entry["op"]] += entry["count"]
        times_ms[entry["op"]] += entry["ms"]
    total = times_ms.total()
    return [
        (kind, counts[kind] / len(tables), time_ms / len(tables), time_ms / total if total else 0.0)
        for kind, time_ms in times_ms.most_common()
    ]


class _Newest:
    """Which rows of a store are the newest of their keys; rows themselves take 18 KB and are not kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ids: dict[str, int] = {}
        self.failed: set[str] = set()

    def see(self, row: Measurement) -> None:
        """Take note of a stored row that is newer than what was seen of its key."""
        self.ids[row.key] = row.id
        (self.failed.discard if row.status == "ok" else self.failed.add)(row.key)

    def row(self, key: str) -> Measurement:
        """The newest row of a key that was seen."""
        return self._store.read_measurements([self.ids[key]])[0]

    def success(self, key: str) -> Measurement | None:
        """The newest row of a key, where there is one and it is no failure."""
        return self.row(key) if key in self.ids and key not in self.failed else None


def _outdated(row: Measurement, report: ProfileReport, profile: DeviceProfile, per_op: bool) -> bool:
    """Whether a stored row does not answer: it lacks what is asked for now, or it is a failure under other
    limits than the profile has now, which may not occur again.
    """
    if report.energy is not None and report.energy.unanswered_by(row):
        return True
    if row.status == "ok" and any(read(metric, row).outdated for metric in report.metrics):
        return True
    if row.status != "ok":
        return bool(row.request.get("protocol") != profile.policy.model_dump())
    return per_op and "per_op" not in row.record


def _make_newest(store: Store, row: Measurement) -> None:
    """Say in the store that the device is as it was for `row`, if it has been in another state since.

    Predictors take a device's newest state, which must be the one that was asked for last.
    """
    newest = store.newest_measurement(row.device, row.space, row.variant)
    if newest is not None and conditions(newest) != conditions(row):
        store.add(_again(row, row.record))


def _with_warning(row: Measurement, warning: str) -> Measurement:
    """The row once more, with one more reason to distrust it."""
    return _again(row, {**row.record, "warnings": [*(row.record.get("warnings") or []), warning]})


def _again(row: Measurement, record: Mapping[str, Any]) -> Measurement:
    """A row as something to append once more."""
    columns = {c.key: getattr(row, c.key) for c in inspect(Measurement).columns if c.key != "id"}
    return Measurement(**{**columns, "record": dict(record)})


def _size_mb(path: Path) -> float | None:
    """Size of a network's file in MB of 2**20 bytes; None when it is gone."""
    try:
        return path.stat().st_size / 2**20
    except OSError:
        return None


class _Profiler:
    """One open device and one source: turns architectures into rows."""

    def __init__(
        self,
        session: DeviceSession,
        files: Prefetcher,
        source: ArchitectureSource,
        report: ProfileReport,
        per_op: bool,
    ) -> None:
        self._session, self._files, self._source = session, files, source
        self._report, self._per_op = report, per_op
        self._control = Control(session, files)
        self._taken: set[str] = set()

    def read_anchor(self) -> float | None:
        """Latency in ms of the source's anchor now; None when it cannot be measured."""
        try:
            artifact = self._files.get(self._source.anchor)
        except (ExportError, CompileError):
            return None
        latency: dict[str, Any] = self._take(self._source.anchor, artifact).get("latency") or {}
        return latency.get("median_ms")

    def _file(self, architecture: Architecture) -> Artifact:
        """The file of an architecture; the time waited for it counts as spent on exporting."""
        start = time.perf_counter()
        try:
            return self._files.get(architecture)
        finally:
            self._report.export_s += time.perf_counter() - start

    def _take(self, architecture: Architecture, artifact: Artifact, **options: bool) -> Frame:
        """One measurement; a file that was damaged here meanwhile is made again, and measured then."""
        result = self._take_once(artifact, **options)
        if result.get("reason") == DAMAGED and not artifact.is_whole():
            result = self._take_once(self._file(architecture), **options)
        if result.get("reason") == DAMAGED:
            raise DeviceUnavailableError(
                f"device {self._session.profile.name}: {result.get('message')}; it was brought twice"
            )
        return result

    def _take_once(self, artifact: Artifact, *, energy: bool = False, per_op: bool = False) -> Frame:
        """One measurement on the device, after its pause."""
        time.sleep(self._session.profile.policy.cooldown_s)
        result = self._session.measure(
            artifact, tolerance=self._files.tolerance, energy=energy, per_op=per_op
        )
        self._report.window_s += float(result.get("measure_s") or 0.0)
        return result

    def measure(self, architecture: Architecture, key: str) -> Measurement:
        """Export and measure one architecture; a failure of either is a row too, if it is the network's.

        Raises DeviceUnavailableError where it is the device's, or this machine's.
        """
        artifact: Artifact | None = None
        try:
            artifact = self._file(architecture)
            energy = self._report.energy
            wanted = energy is not None and energy.sensor is not None
            result = self._take(architecture, artifact, energy=wanted, per_op=self._per_op)
            if result["status"] != "ok":
                self._control.believe(result, per_op=self._per_op)
            elif wanted:
                self._check_sensor(result)
        except ExportError as error:
            self._control.believe_making(error)
            result = {"status": "error", "reason": "export", "message": str(error)}
        except CompileError as error:
            self._control.believe_making(error)
            build = {**self._files.made_with, "log": error.log}
            result = {"status": "error", "reason": "compile", "message": str(error), "build": build}
        if key in self._taken:
            self._report.repeated += 1
        else:
            self._report.measured += 1
        self._taken.add(key)
        return self._row(architecture, key, artifact, result)

    def _check_sensor(self, result: Frame) -> None:
        """Raise DeviceUnavailableError when there is no sensor any more; there was one when this began."""
        energy = result.get("energy") or {}
        if energy.get("sensor") is None:
            raise DeviceUnavailableError(
                f"device {self._session.profile.name}: the power sensor was lost: {energy.get('reason')}; "
                f"see modnas-hw devices check {self._session.profile.name}"
            )

    def _row(
        self, architecture: Architecture, key: str, artifact: Artifact | None, result: Frame
    ) -> Measurement:
        profile = self._session.profile
        latency: dict[str, Any] = result.get("latency") or {}
        if artifact is not None and artifact.details:
            result = {**result, "build": dict(artifact.details)}
        if artifact is not None and result["status"] == "ok":
            result = {**result, "file_size_mb": _size_mb(artifact.path)}
        return Measurement(
            key=key,
            space=self._source.name,
            variant=self._source.variant,
            arch=architecture.string,
            device=profile.id,
            fingerprint=self._session.fingerprint,
            batch=profile.batch,
            backend=profile.backend,
            status=result["status"],
            reason=result.get("reason"),
            message=result.get("message"),
            latency_ms=latency.get("median_ms"),
            latency_p10_ms=latency.get("p10_ms"),
            latency_p90_ms=latency.get("p90_ms"),
            latency_ci_low_ms=latency.get("ci_low_ms"),
            latency_ci_high_ms=latency.get("ci_high_ms"),
            latency_n=latency.get("n"),
            energy_mj=(result.get("energy") or {}).get("net_mj"),
            memory_mb=result.get("memory_mb"),
            max_abs_diff=result.get("max_abs_diff"),
            artifact_sha256=artifact.sha256 if artifact else "",
            created_at=datetime.now(timezone.utc),
            request={
                "options": {**self._session.backend_options(), **self._files.made_with},
                "protocol": profile.policy.model_dump(),
                "agent_version": self._session.client.agent_version,
                "runtime_version": self._session.runtime_version,
                "inventory": self._session.client.inventory,
            },
            record={name: value for name, value in result.items() if name not in ("event", "id")},
        )
