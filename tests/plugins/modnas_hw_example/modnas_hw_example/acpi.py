"""The power meter that ACPI has for a whole server: https://docs.kernel.org/hwmon/acpi_power_meter.html."""

from __future__ import annotations

from pathlib import Path

from modnas_agent.energy.sensors.base import Bounds, PolledSensor, SensorError
from modnas_agent.energy.sensors.sysfs import required_number
from modnas_agent.files import read_text


class Acpi(PolledSensor):
    """The power that the whole machine takes, averaged over an interval of the meter's."""

    name = "acpi"
    period_s = 1.0
    lag_s = 1.0
    bounds = Bounds(5000.0, "one machine's supplies give no more")

    def __init__(self, sysfs_root: Path) -> None:
        chips = sorted((sysfs_root / "class" / "hwmon").glob("*"))
        found = [chip for chip in chips if read_text(chip / "name") == "power_meter"]
        if not found:
            raise SensorError("there is no ACPI power meter")
        self._file = found[0] / "power1_average"
        self.read()

    def read(self) -> float:
        return required_number(self._file) / 1e6


sensor = Acpi
