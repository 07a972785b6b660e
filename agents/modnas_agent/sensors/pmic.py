"""Raspberry Pi 5: the rails its power management chip measures, through `vcgencmd pmic_read_adc`."""

from __future__ import annotations

import re

from modnas_agent.sensors.base import CommandRunner, PolledSensor, SensorError, run_command

COMMAND = ("vcgencmd", "pmic_read_adc")
LINE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=(-?[0-9.]+)[AV]\s*$", re.MULTILINE)


class Pmic(PolledSensor):
    """Sum of volts times amperes over the rails: what the board's chips take, without the converters' losses
    and without what hangs on USB. The input, EXT5V, has no current reading.
    """

    name = "pmic"
    # Each reading starts a process.
    period_s = 0.1

    def __init__(self, run: CommandRunner = run_command) -> None:
        self._run = run
        self.read()

    def read(self) -> float:
        return rails_power_w(self._run(COMMAND))


def rails_power_w(output: str) -> float:
    """Sum over the rails of a reading. Raises `SensorError` for a rail with a current but no voltage: a sum
    without it would be too small.
    """
    found = {(name, unit): float(value) for name, unit, value in LINE.findall(output)}
    currents = {name: value for (name, unit), value in found.items() if unit == "A"}
    if not currents:
        raise SensorError(f"{' '.join(COMMAND)} tells no currents: a Raspberry Pi 5 is needed")
    missing = sorted(name for name in currents if (name, "V") not in found)
    if missing:
        raise SensorError(f"{' '.join(COMMAND)} tells no voltage of {', '.join(missing)}")
    return sum(value * found[name, "V"] for name, value in currents.items())
