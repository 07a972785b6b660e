"""Batteries of phones and laptops: what the whole device takes, while nothing charges it.

Fuel gauges average over seconds and their steps are coarse: windows must be long, and the state of the screen
matters more than most networks. `power_supply` in sysfs is asked first; Android forbids it to most programs,
and Termux has a command for that case (package termux-api and the Termux:API app).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

from modnas_agent.files import read_text
from modnas_agent.sensors.base import CommandRunner, PolledSensor, SensorError, run_command
from modnas_agent.sensors.sysfs import required_number

COMMAND = ("termux-battery-status",)
DISCHARGING = "discharging"
#: Amperes in the gauge's unit. Android asks for µA; some phones tell mA.
CURRENT_UNITS = {"uA": 1e-6, "mA": 1e-3}


class Battery(PolledSensor):
    """The power drawn from the battery.

    Args:
        current_unit: `uA`, or `mA` for a phone whose gauge tells that.
    """

    period_s = 1.0
    lag_s = 2.0

    def __init__(self, sysfs_root: Path, run: CommandRunner = run_command, current_unit: str = "uA") -> None:
        if current_unit not in CURRENT_UNITS:
            raise SensorError(f"no current_unit {current_unit!r}; there are {', '.join(CURRENT_UNITS)}")
        ampere = CURRENT_UNITS[current_unit]
        folder = _supply(sysfs_root)
        self._power_w: Callable[[], float]
        if folder is not None:
            self.name = f"battery:{folder.name}"
            self._power_w = lambda: _sysfs_power_w(folder, ampere)
        else:
            self.name = "battery:termux"
            self._power_w = lambda: termux_power_w(run(COMMAND), ampere)
        self.read()

    def read(self) -> float:
        return self._power_w()


def _supply(sysfs_root: Path) -> Path | None:
    """The system's battery, if it may be read; those of mice and keyboards have the scope Device."""
    for folder in sorted((sysfs_root / "class" / "power_supply").glob("*")):
        is_battery = read_text(folder / "type") == "Battery" and read_text(folder / "scope") != "Device"
        if is_battery and read_text(folder / "status"):
            return folder
    return None


def _sysfs_power_w(folder: Path, ampere: float) -> float:
    """https://docs.kernel.org/power/power_supply_class.html: µW, or µA and µV; gauges differ in the sign."""
    _check_discharging(read_text(folder / "status"))
    if (folder / "power_now").exists():
        return abs(required_number(folder / "power_now")) / 1e6
    current_a = abs(required_number(folder / "current_now")) * ampere
    return current_a * required_number(folder / "voltage_now") / 1e6


def termux_power_w(output: str, ampere: float) -> float:
    """Power out of the command's JSON: current in the gauge's unit, voltage in mV."""
    try:
        status = json.loads(output)
        current, millivolts = status.get("current"), status.get("voltage")
    except (ValueError, AttributeError) as error:
        raise SensorError(f"{COMMAND[0]} did not answer with a JSON object") from error
    _check_discharging(status.get("status"))
    if type(current) not in (int, float) or type(millivolts) not in (int, float):
        raise SensorError(f"{COMMAND[0]} tells no current or no voltage; update the Termux:API app")
    return abs(float(current)) * ampere * float(millivolts) / 1e3


def _check_discharging(status: object) -> None:
    if str(status).lower() != DISCHARGING:
        raise SensorError(f"the battery is not discharging ({status}): unplug the device")
