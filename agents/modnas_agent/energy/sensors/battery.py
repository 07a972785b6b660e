"""Batteries of phones and laptops: what the whole device takes, while nothing charges it.

Fuel gauges average over seconds and their steps are coarse: windows must be long, and the state of the screen
matters more than most networks. `power_supply` in sysfs is asked first; Android forbids it to most programs,
and Termux has a command for that case (package termux-api and the Termux:API app).

A device with two batteries takes from both, or from one after the other: their powers are added.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

from modnas_agent.energy.sensors.base import Bounds, CommandRunner, PolledSensor, SensorError, run_command
from modnas_agent.energy.sensors.sysfs import required_number
from modnas_agent.files import read_number, read_text

COMMAND = ("termux-battery-status",)
DISCHARGING, CHARGING = "Discharging", "Charging"
#: What a battery that nothing flows through says of itself.
RESTING = ("Full", "Not charging")
#: Amperes in the gauge's unit. Android asks for µA; some phones tell mA.
CURRENT_UNITS = {"uA": 1e-6, "mA": 1e-3}


class Battery(PolledSensor):
    """The power drawn from the batteries.

    Args:
        current_unit: `uA`, or `mA` for a phone whose gauge tells that.
        supply: the one battery to read, such as `BAT1`, where the others are known to give nothing.
    """

    period_s = 1.0
    lag_s = 2.0
    bounds = Bounds(
        300.0,
        "the largest laptops take that; is current_unit right?",
        0.02,
        "no device that computes takes less; does its gauge tell mA (current_unit)?",
    )

    def __init__(
        self,
        sysfs_root: Path,
        run: CommandRunner = run_command,
        current_unit: str = "uA",
        supply: str | None = None,
    ) -> None:
        if current_unit not in CURRENT_UNITS:
            raise SensorError(f"no current_unit {current_unit!r}; there are {', '.join(CURRENT_UNITS)}")
        ampere = CURRENT_UNITS[current_unit]
        folders = _supplies(sysfs_root, supply)
        self._power_w: Callable[[], float]
        if folders:
            self.name = "battery:" + "+".join(folder.name for folder in folders)
            gauges = [_Gauge(folder, ampere) for folder in folders]
            self._power_w = lambda: _sysfs_power_w(sysfs_root, gauges)
        else:
            self.name = "battery:termux"
            self._power_w = lambda: termux_power_w(run(COMMAND), ampere)
        self.read()

    def read(self) -> float:
        return self._power_w()


def _supplies(sysfs_root: Path, wanted: str | None) -> list[Path]:
    """The system's batteries that may be read; those of mice have the scope Device, empty slots none."""
    found = [
        folder
        for folder in sorted((sysfs_root / "class" / "power_supply").glob("*"))
        if read_text(folder / "type") == "Battery"
        and read_text(folder / "scope") != "Device"
        and read_number(folder / "present") != 0
        and read_text(folder / "status")
    ]
    if wanted is None:
        return found
    chosen = [folder for folder in found if folder.name == wanted]
    if not chosen:
        there = ", ".join(folder.name for folder in found) or "none"
        raise SensorError(f"there is no battery {wanted} (found: {there})")
    return chosen


class _Gauge:
    """One battery in sysfs."""

    def __init__(self, folder: Path, ampere: float) -> None:
        self.name = folder.name
        self._folder = folder
        self._ampere = ampere
        self._signs: dict[str, int] = {}

    def status(self) -> str:
        """What it says of itself, such as `Discharging`."""
        return read_text(self._folder / "status") or "gone"

    def power_w(self) -> float:
        """https://docs.kernel.org/power/power_supply_class.html: µW, or µA and µV.

        Gauges differ in the sign of what flows out, but none changes it: what turns round flows in.
        """
        if (self._folder / "power_now").exists():
            return self._unsigned("power_now") / 1e6
        current_a = self._unsigned("current_now") * self._ampere
        return current_a * required_number(self._folder / "voltage_now") / 1e6

    def _unsigned(self, file: str) -> int:
        value = required_number(self._folder / file)
        if value and self._signs.setdefault(file, value) * value < 0:
            raise SensorError(f"{file} of {self.name} changed its sign: something charges it")
        return abs(value)


def _sysfs_power_w(sysfs_root: Path, gauges: list[_Gauge]) -> float:
    """Sum over the batteries that discharge; raises `SensorError` where another may give or take as well."""
    _check_unplugged(sysfs_root)
    states = {gauge.name: gauge.status() for gauge in gauges}
    if DISCHARGING not in states.values() or CHARGING in states.values():
        told = ", ".join(states.values() if len(states) == 1 else map(" ".join, states.items()))
        raise SensorError(f"the battery is not discharging ({told}): unplug the device")
    power_w = 0.0
    for gauge in gauges:
        state = states[gauge.name]
        if state == DISCHARGING:
            power_w += gauge.power_w()
        elif state not in RESTING or gauge.power_w() > 0:
            raise SensorError(
                f"the battery {gauge.name} is {state} while another is discharging: whether it gives or "
                "takes is not known; name the one that gives with the option supply"
            )
    return power_w


def _check_unplugged(sysfs_root: Path) -> None:
    """What comes from a socket is not in the battery's power, even while the battery helps out."""
    for folder in sorted((sysfs_root / "class" / "power_supply").glob("*")):
        if read_text(folder / "type") == "Battery" or read_text(folder / "scope") == "Device":
            continue
        if (read_number(folder / "online") or 0) > 0:
            raise SensorError(f"the device is plugged in ({folder.name} is online): unplug it")


def termux_power_w(output: str, ampere: float) -> float:
    """Power out of the command's JSON: current in the gauge's unit, voltage in mV."""
    try:
        status = json.loads(output)
        current, millivolts = status.get("current"), status.get("voltage")
    except (ValueError, AttributeError) as error:
        raise SensorError(f"{COMMAND[0]} did not answer with a JSON object") from error
    if str(status.get("status")).lower() != DISCHARGING.lower():
        raise SensorError(f"the battery is not discharging ({status.get('status')}): unplug the device")
    if str(status.get("plugged", "")).startswith("PLUGGED"):
        raise SensorError(f"the device is plugged in ({status['plugged']}): unplug it")
    if type(current) not in (int, float) or type(millivolts) not in (int, float):
        raise SensorError(f"{COMMAND[0]} tells no current or no voltage; update the Termux:API app")
    return abs(float(current)) * ampere * float(millivolts) / 1e3
