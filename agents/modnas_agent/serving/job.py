"""What an agent was asked to do, how far it is, and how long each part of it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modnas_agent import errors
from modnas_agent.background import Call
from modnas_agent.board.lock import BoardLock
from modnas_agent.energy.measurement import EnergyMeasurement
from modnas_agent.wire.protocol import Frame
from modnas_agent.wire.request import MeasureRequest

#: What a measurement may take beyond its own limits before its agent is taken to hang.
LEASE_MARGIN_S = 60.0
#: Importing a runtime from an SD card under load takes tens of seconds.
IMPORT_LIMIT_S = 180.0
#: Two sensors are commands that may take ten seconds each to fail; beyond this one hangs.
SENSOR_LIMIT_S = 25.0
#: A slow SD card takes seconds to write a result for good.
DISK_LIMIT_S = 20.0


@dataclass
class Job:
    """A probe (`request` is None) or a measurement, and what is known about it so far.

    Its phases: lock, import, sensor, idle, run, meter, finish. A probe has the import alone, a measurement
    without energy neither sensor nor idle nor meter. `lost`: its zygote was ended by somebody else.
    """

    id: str
    backend: str
    request: MeasureRequest | None = None
    frame: Frame = field(default_factory=dict)
    phase: str = "lock"
    #: When the phase has something to do that nothing else tells of; None while only `call` is waited for.
    deadline: float | None = None
    #: What was begun last on a thread, for this job.
    call: Call | None = None
    lock: BoardLock | None = None
    lock_until: float = 0.0
    started_at: str | None = None
    started: float = 0.0
    sensor_asked: float = 0.0
    before: dict[str, Any] | None = None
    cpus: list[int] | None = None
    memory_kills: int | None = None
    killed: bool = False
    outcome: dict[str, Any] | None = None
    stopped_for: str | None = None
    energy: EnergyMeasurement | None = None

    @property
    def stop_message(self) -> str:
        """What is said of it when it was stopped."""
        if self.stopped_for == errors.TIMEOUT and self.request is not None:
            return f"not finished after {self.request.timeout_s:g} s"
        return "cancelled by the host"

    def let_go(self) -> None:
        """Nobody waits for it any more: no sensor is read, no thread waited for, its lock is given back."""
        if self.energy is not None:
            self.energy.stop()
        if self.call is not None:
            self.call.forget()
        if self.lock is not None:
            self.lock.release()


def lease_s(request: MeasureRequest) -> float:
    """Seconds after which whoever measures this hangs."""
    energy_s = SENSOR_LIMIT_S + 4.0 * request.energy.max_window_s if request.energy is not None else 0.0
    return IMPORT_LIMIT_S + request.timeout_s + energy_s + LEASE_MARGIN_S
