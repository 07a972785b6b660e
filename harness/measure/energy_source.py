"""Asking an open device for energy: whether it can tell, and which stored rows answer."""

from __future__ import annotations

from dataclasses import dataclass

from harness.measure.session import DeviceSession
from harness.store import Measurement
from harness.store.metrics import energy_sensor


@dataclass(frozen=True)
class EnergySource:
    """The sensor of an open device, or why it has none. Energy is wanted by whoever makes one."""

    sensor: str | None
    reason: str | None

    @classmethod
    def of(cls, session: DeviceSession) -> EnergySource:
        """Ask the device. Raises DeviceUnavailableError when it does not answer."""
        if session.profile.power_sensor.name == "none":
            return cls(None, f"the profile of {session.profile.name} has power_sensor: none")
        answer = session.client.sensor(session.profile.power_sensor.request(), session.backend_options())
        return cls(answer.get("sensor"), answer.get("reason"))

    def unanswered_by(self, row: Measurement) -> bool:
        """Whether a stored success lacks an energy that could be measured: none, or of another sensor."""
        if self.sensor is None or row.status != "ok":
            return False
        return row.energy_mj is None or energy_sensor(row) != self.sensor
