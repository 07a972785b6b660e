"""Measuring each device's own architectures: boards beside each other, this machine's devices alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.progress import Progress, stage
from harness.devices.profile import DeviceProfile
from harness.measure.fleet import DeviceStatus, Fleet
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Store
from harness.store.metrics import HardwareMetric
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture


@dataclass
class Outcome:
    """What is to be told of devices besides their rows, by their ids.

    Attributes:
        lost: why devices did not come to their end. What they measured before is in the store.
        anchors_ms: latency of the source's anchor at the end of those that measured.
    """

    lost: dict[str, str] = field(default_factory=dict)
    anchors_ms: dict[str, float] = field(default_factory=dict)


def measure_each(
    profiles: Sequence[DeviceProfile],
    source: ArchitectureSource,
    wanted: Mapping[str, Sequence[Architecture]],
    store: Store,
    *,
    seed: int = 0,
    metrics: Sequence[HardwareMetric] = (),
    progress: Progress,
) -> Outcome:
    """Measure what the store lacks; a device that fails is tried again as in a fleet, then left alone.

    Args:
        wanted: architectures by the device's id.
    """

    def measure(
        profile: DeviceProfile,
        source: ArchitectureSource,
        _: Sequence[Architecture],
        *rest: Any,
        **options: Any,
    ) -> ProfileReport:
        return profile_device(profile, source, wanted[profile.id], *rest, read_anchor=True, **options)

    asked = [profile for profile in profiles if wanted[profile.id]]
    outcome = Outcome()
    total = sum(len(wanted[profile.id]) for profile in asked)
    with stage(progress, "measuring in the loop", "arch", total) as running:
        for together in _waves(asked):
            before = running.done

            def tell(statuses: list[DeviceStatus], before: int = before) -> None:
                running.update(before + sum(status.done + status.reused for status in statuses))

            fleet = Fleet(together, source, (), store, seed=seed, metrics=metrics, profile_one=measure)
            for status in fleet.run(tell):
                if status.state == "quarantined":
                    outcome.lost[status.device] = status.error or "it was given up"
                elif status.report is not None and status.report.anchor_ms is not None:
                    outcome.anchors_ms[status.device] = status.report.anchor_ms
    return outcome


def _waves(profiles: Sequence[DeviceProfile]) -> list[list[DeviceProfile]]:
    """Devices that do not disturb each other: different boards, or one device of this machine."""
    waves: list[list[DeviceProfile]] = []
    for profile in profiles:
        host = profile.ssh.host or profile.name if profile.ssh else None
        free = [w for w in waves if host and all(p.ssh and (p.ssh.host or p.name) != host for p in w)]
        if free:
            free[0].append(profile)
        else:
            waves.append([profile])
    return waves
