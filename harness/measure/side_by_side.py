"""Measuring each device's own architectures: boards beside each other, this machine's devices alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def measure_each(
    profiles: Sequence[DeviceProfile],
    source: ArchitectureSource,
    wanted: Mapping[str, Sequence[Architecture]],
    store: Store,
    *,
    seed: int = 0,
    metrics: Sequence[HardwareMetric] = (),
    progress: Progress,
) -> dict[str, str]:
    """Measure what the store lacks; a device that fails is tried again as in a fleet, then left alone.

    Args:
        wanted: architectures by the device's id.

    Returns:
        Why devices did not come to their end, by id. What was measured before is in the store.
    """

    def measure(
        profile: DeviceProfile,
        source: ArchitectureSource,
        _: Sequence[Architecture],
        *rest: Any,
        **options: Any,
    ) -> ProfileReport:
        return profile_device(profile, source, wanted[profile.id], *rest, **options)

    asked = [profile for profile in profiles if wanted[profile.id]]
    lost: dict[str, str] = {}
    total = sum(len(wanted[profile.id]) for profile in asked)
    with stage(progress, "measuring in the loop", "arch", total) as running:
        for together in _waves(asked):
            before = running.done

            def tell(statuses: list[DeviceStatus], before: int = before) -> None:
                running.update(before + sum(status.done + status.reused for status in statuses))

            fleet = Fleet(together, source, (), store, seed=seed, metrics=metrics, profile_one=measure)
            for status in fleet.run(tell):
                if status.state == "quarantined":
                    lost[status.device] = status.error or "it was given up"
    return lost


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
