"""NVIDIA Jetson: the INA3221 channel of the total input.

The other rails lie behind that one: adding them would count twice. The board names its channels; those of the
total input are VDD_IN (TX2, Xavier NX, Orin Nano and NX) and POM_5V_IN (Nano). AGX boards measure parts only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict

from modnas_agent.energy.sensors.base import Bounds, PolledSensor, SensorError
from modnas_agent.energy.sensors.sysfs import (
    MIN_PERIOD_S,
    hwmon_chips,
    required_number,
    shunt_limit_a,
    update_period_s,
    within_range,
)
from modnas_agent.files import read_text

TOTAL_RAILS = ("VDD_IN", "POM_5V_IN")
CHANNELS = (1, 2, 3)
#: Voltage over a shunt that the INA3221 converts (its data sheet).
FULL_SCALE_MV = 163.8

Rails = Dict[str, "tuple[Callable[[], float], float]"]


class Jetson(PolledSensor):
    """One rail: reader of its power in watts, period.

    Args:
        rail: another than the total input, for boards that do not measure it; results then carry its name.
    """

    bounds = Bounds(
        200.0,
        "a Jetson takes 130 W at most, with its carrier board less than this",
        negative_why="the rail's shunt is reversed",
    )

    def __init__(self, sysfs_root: Path, rail: str | None = None) -> None:
        rails = {**_iio_rails(sysfs_root), **_hwmon_rails(sysfs_root)}
        if not rails:
            raise SensorError("there is no INA3221 power monitor")
        wanted = [rail] if rail else [name for name in TOTAL_RAILS if name in rails]
        if not wanted or wanted[0] not in rails:
            there = ", ".join(sorted(rails))
            what = f"no rail {rail}" if rail else "no rail of the total input"
            raise SensorError(f"the INA3221 has {what} (it has {there}); name one with the option rail")
        self._read, self.period_s = rails[wanted[0]]
        self.name = f"ina3221:{wanted[0]}"
        self.read()

    def read(self) -> float:
        return self._read()


def _hwmon_rails(sysfs_root: Path) -> Rails:
    """Since JetPack 5: volts in mV, current in mA (https://docs.kernel.org/hwmon/ina3221.html)."""
    rails: Rails = {}
    for name, chip in hwmon_chips(sysfs_root):
        for channel in CHANNELS:
            label = read_text(chip / f"in{channel}_label")
            if name == "ina3221" and label:
                rails[label] = (_product(chip, channel), update_period_s(chip))
    return rails


def _product(chip: Path, channel: int) -> Callable[[], float]:
    volts, amperes = chip / f"in{channel}_input", chip / f"curr{channel}_input"
    limit_a = shunt_limit_a(chip / f"shunt{channel}_resistor", FULL_SCALE_MV)

    def power_w() -> float:
        current_a = within_range(required_number(amperes) / 1e3, limit_a, f"the current of channel {channel}")
        return required_number(volts) / 1e3 * current_a

    return power_w


def _iio_rails(sysfs_root: Path) -> Rails:
    """Until JetPack 4: power in mW."""
    rails: Rails = {}
    for device in sorted((sysfs_root / "bus" / "iio" / "devices").glob("iio:device*")):
        for channel in range(len(CHANNELS)):
            label = read_text(device / f"rail_name_{channel}")
            if label:
                rails[label] = (_milliwatts(device / f"in_power{channel}_input"), MIN_PERIOD_S)
    return rails


def _milliwatts(file: Path) -> Callable[[], float]:
    return lambda: required_number(file) / 1e3
