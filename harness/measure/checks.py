"""Checking a device step by step, so that the first thing that is wrong is named.

The last step measures a small network as the profile says: whether the CPUs, the threads, the provider, the
memory limit and the sensor can be had shows when they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from harness.backends import open_exporter
from harness.boards.board import Board
from harness.core.errors import DeviceUnavailableError, needed, reworded
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.export.prefetch import Prefetcher
from harness.measure.control import Control, control_network
from harness.measure.energy_source import EnergySource
from harness.measure.session import DeviceSession


@dataclass(frozen=True)
class Step:
    """A step that succeeded, with what it found."""

    name: str
    found: str


def check_device(profile: DeviceProfile, on_step: Callable[[Step], None]) -> dict[str, Any]:
    """Walk from the network to the runtime; what was found at the end.

    Args:
        on_step: told of every step that succeeded.

    Raises:
        DeviceUnavailableError: names the first step that failed.
    """
    if profile.ssh is not None:
        _check_board(profile, on_step)
    step = "agent and runtime"
    try:
        with DeviceSession(profile) as session:
            on_step(Step(step, f"{profile.backend} {session.runtime_version}"))
            energy = EnergySource.of(session)
            step = "control network"
            control = _measure_control(session, energy)
            on_step(Step(step, ", ".join(f"{name} {value}" for name, value in control.items())))
            return {
                "name": profile.id,
                "agent_version": session.client.agent_version,
                "backend": profile.backend,
                "runtime_version": session.runtime_version,
                "fingerprint": session.fingerprint,
                "inventory": session.client.inventory,
                "energy": vars(energy),
                "control": control,
            }
    except DeviceUnavailableError as error:
        raise reworded(error, f"step {step!r} failed: {error}") from error


def _measure_control(session: DeviceSession, energy: EnergySource) -> dict[str, Any]:
    """Measure the control network; what was found and what it was measured with."""
    with needed("keep networks' files"):
        cache = ArtifactCache()
    with closing(open_exporter(session.profile, cache)) as exporter:
        space, _ = control_network()
        with Prefetcher(exporter, space, 1, [], parallel=False) as files:
            result = Control(session, files).measure(energy=energy.sensor is not None)
    found = {"latency_ms": (result.get("latency") or {}).get("median_ms"), **(result.get("applied") or {})}
    if energy.sensor is not None:
        told = result.get("energy") or {}
        found["energy"] = told.get("reason") or f"{told.get('net_mj')} mJ"
    return found


def _check_board(profile: DeviceProfile, on_step: Callable[[Step], None]) -> None:
    step = "connection"
    try:
        with Board(profile) as board:
            on_step(Step(step, str(board.connection.address)))
            step = "python"
            python = board.find_python()
            on_step(Step(step, f"{python.text} at {python.path}"))
            step = "files"
            on_step(Step(step, board.bring_archive()))
            step = "installation"
            manifest = board.manifest()
            on_step(Step(step, f"runtime: {manifest.mode}" if manifest else "none; what is there is used"))
    except DeviceUnavailableError as error:
        raise reworded(error, f"step {step!r} failed: {error}") from error
