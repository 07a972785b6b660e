"""Raspberry Pi 5: the rails its power management chip measures, through `vcgencmd pmic_read_adc`."""

from __future__ import annotations

import re
from pathlib import Path

from modnas_agent.energy.sensors.base import Bounds, CommandRunner, PolledSensor, SensorError, run_command

COMMAND = ("vcgencmd", "pmic_read_adc")
LINE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=(-?[0-9]+(?:\.[0-9]+)?)[AV]\s*$", re.MULTILINE)
#: The rail of the processor's cores.
CORE = "VDD_CORE"


class Pmic(PolledSensor):
    """Sum of volts times amperes over the rails: what the board's chips take, without the converters' losses
    and without what hangs on USB. The input, EXT5V, has no current reading.
    """

    name = "pmic"
    # Each reading starts a process.
    period_s = 0.1
    bounds = Bounds(30.0, "its supply gives 27 W", negative_why="a rail gives no power")

    def __init__(self, run: CommandRunner = run_command) -> None:
        self._run = run
        self._rails = frozenset(rails_w(run(COMMAND)))

    def read(self) -> float:
        found = rails_w(self._run(COMMAND))
        if self._rails != frozenset(found):
            odd = ", ".join(sorted(self._rails ^ frozenset(found)))
            raise SensorError(f"{' '.join(COMMAND)} tells other rails than before: {odd}")
        return sum(found.values())


def sensor(_sysfs_root: Path) -> Pmic:
    """The board's own; it is not in sysfs."""
    return Pmic()


def rails_w(output: str) -> dict[str, float]:
    """Power of each rail in a reading.

    Raises `SensorError` when the cores' rail or a rail's voltage is missing: a sum would be too small.
    """
    found = {(name, unit): float(value) for name, unit, value in LINE.findall(output)}
    currents = {name: value for (name, unit), value in found.items() if unit == "A"}
    if not currents:
        raise SensorError(f"{' '.join(COMMAND)} tells no currents: a Raspberry Pi 5 is needed")
    missing = sorted(name for name in currents if (name, "V") not in found)
    if missing:
        raise SensorError(f"{' '.join(COMMAND)} tells no voltage of {', '.join(missing)}")
    if CORE not in currents:
        raise SensorError(f"{' '.join(COMMAND)} tells no current of {CORE}")
    return {name: value * found[name, "V"] for name, value in currents.items()}
