"""Measuring on devices as commands do: on one with progress in words, or on several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from harness.core.errors import DeviceUnavailableError, UsageError, reworded
from harness.core.progress import Note, Progress, silent, stage
from harness.devices.energy import EnergyModel
from harness.devices.profile import DeviceProfile
from harness.measure.fleet import DeviceStatus, Fleet, State
from harness.measure.profiling import profile_device
from harness.measure.repeatability import Repeatability, compare_sessions
from harness.measure.reports import ProfileReport, RowFigures
from harness.store import Measurement, Store
from harness.store.metrics import HardwareMetric
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture

OnStatus = Callable[[list[DeviceStatus]], None]


@dataclass(frozen=True)
class Profiled:
    """What came of measuring on one device.

    Attributes:
        device: its id, NAME or NAME@BATCH.
        state: `done`, or `quarantined`: it was given up, for the reason in `error`.
        report: what was measured and reused; None where the device did not come to its end.
        error: the last thing that went wrong; None where nothing did.
        energy_model: what models an energy of the rows, if that was asked for.
        repeatability: a comparison for every session after the first.
    """

    device: str
    state: State
    report: ProfileReport | None
    error: str | None = None
    energy_model: EnergyModel | None = None
    repeatability: tuple[Repeatability, ...] = ()

    @property
    def rows(self) -> Sequence[Measurement]:
        """Newest row of every architecture, in the order asked for, failures among them."""
        return self.report.rows if self.report else ()


def measure_on(
    target: DeviceProfile,
    source: ArchitectureSource,
    architectures: Sequence[Architecture],
    store: Store,
    *,
    seed: int = 0,
    metrics: Sequence[HardwareMetric] = (),
    per_op: bool = False,
    fresh: bool = False,
    retry_before: datetime | None = None,
    progress: Progress = silent,
) -> ProfileReport:
    """`profile_device`, with progress and a closing line."""
    with stage(progress, f"measuring on {target.id}", "arch") as measuring:
        measured = 0

        def on_start(missing: int, reused: int) -> None:
            measuring.update(total=missing, note=f"({reused} in the store)")

        def on_row(row: Measurement, report: ProfileReport) -> None:
            nonlocal measured
            measured += 1
            note = f"{row.latency_ms:.4g} ms" if row.latency_ms is not None else f"{row.reason}"
            measuring.update(report.measured, note=note)

        try:
            report = profile_device(
                target,
                source,
                architectures,
                store,
                seed=seed,
                metrics=metrics,
                per_op=per_op,
                fresh=fresh,
                retry_before=retry_before,
                on_start=on_start,
                on_row=on_row,
            )
        except DeviceUnavailableError as error:
            if not measured:
                raise
            hint = f"{measured} measured before are kept, the same command goes on from there"
            raise reworded(error, f"{error}; {hint}") from error
    figures = report.figures()
    progress(Note(summary(report, figures)))
    for block in report.blocks:
        if block.again or not block.settled:
            progress(Note(f"{report.device}: {block}"))
    for note in figures.notes:
        progress(Note(f"{report.device}: {note}"))
    return report


def profile_devices(
    targets: Sequence[DeviceProfile],
    source: ArchitectureSource,
    architectures: Sequence[Architecture],
    store: Store,
    *,
    seed: int = 0,
    metrics: Sequence[HardwareMetric] = (),
    per_op: bool = False,
    sessions: int = 1,
    retry_failed: bool = False,
    progress: Progress = silent,
    on_status: OnStatus | None = None,
) -> list[Profiled]:
    """Measure on one device, or on several at a time, each for itself; see `harness.profile`."""
    retry_before = datetime.now(timezone.utc) if retry_failed else None
    if len(targets) > 1:
        if per_op or sessions > 1:
            raise UsageError("--per-op and --sessions work with one --device")
        fleet = Fleet(
            targets, source, architectures, store, seed=seed, metrics=metrics, retry_before=retry_before
        )
        return [Profiled(s.device, s.state, s.report, s.error) for s in fleet.run(on_status)]

    def measure(session: int) -> ProfileReport:
        return measure_on(
            targets[0],
            source,
            architectures,
            store,
            seed=seed + session,
            metrics=metrics,
            per_op=per_op,
            fresh=session > 0,
            retry_before=None if session else retry_before,
            progress=progress,
        )

    report = measure(0)
    compared: list[Repeatability] = []
    for session in range(1, sessions):
        before, report = report.rows, measure(session)
        compared.append(compare_sessions(before, report.rows, metrics))
        for one in (compared[-1], *compared[-1].others):
            progress(Note(f"{report.device}: {one}"))
    return [Profiled(report.device, "done", report, repeatability=tuple(compared))]


def summary(report: ProfileReport, figures: RowFigures) -> str:
    """One line: what was measured, what was reused, what failed, how fast, how exact."""
    parts = [f"{report.device}: measured {report.measured}, reused {report.reused} from the store"]
    if report.measured:
        parts.append(
            f"{report.measured / report.seconds:.2f} architectures/s "
            f"({report.window_s / report.seconds:.0%} of the time measuring, "
            f"{report.export_s / report.seconds:.0%} exporting)"
        )
    if report.repeated:
        parts.append(f"{report.repeated} measured again after drift or a disturbance")
    if figures.max_abs_diff is not None:
        parts.append(f"largest output difference from PyTorch {figures.max_abs_diff:.1e}")
    if figures.untuned:
        parts.append(f"untuned: {figures.untuned} (modnas-hw tune tunes them)")
    elif figures.tuned:
        parts.append("tuned")
    failures = figures.failures.told(report.failed_reused)
    if failures:
        parts.append(failures)
    if figures.warned:
        parts.append(f"{figures.warned} with warnings")
    return "; ".join(parts)
