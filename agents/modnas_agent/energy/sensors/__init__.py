"""Power sensors: one module a sensor, found by probing.

A new one is a module beside this one and a line in `SENSORS`; those of other packages are in `brought`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Callable, Mapping

from modnas_agent.board.conditions import SYSFS
from modnas_agent.energy.sensors import brought, meter, nvml, pmic
from modnas_agent.energy.sensors.base import Sensor, SensorError, bounds_with
from modnas_agent.energy.sensors.battery import Battery
from modnas_agent.energy.sensors.ina2xx import Ina2xx
from modnas_agent.energy.sensors.jetson import Jetson
from modnas_agent.energy.sensors.rapl import Rapl
from modnas_agent.errors import one_line

__all__ = ["SENSORS", "Sensor", "SensorError", "find_sensor", "found_sensors"]

#: Name -> constructor from (sysfs root, options).
SENSORS: dict[str, Callable[..., Sensor]] = {
    "nvml": nvml.sensor,
    "rapl": Rapl,
    "jetson": Jetson,
    "pmic": pmic.sensor,
    "ina2xx": Ina2xx,
    "battery": Battery,
    "csv": meter.sensor,
}
#: What `auto` looks for, the most direct first. A meter's log is only used when it is named.
ON_CPU = ("rapl", "jetson", "pmic", "ina2xx", "battery")
#: A GPU's energy is its own; on a Jetson it is part of the board's input.
ON_GPU = ("nvml", "jetson")
#: What a greeting lists, and those that were brought. A phone's battery is left out: its command may take
#: ten seconds to fail.
LISTED = ("nvml", "rapl", "jetson", "pmic", "ina2xx")
#: How long a greeting waits for them: the host is waiting, and it may be looking for a board that it lost.
GREETING_LIMIT_S = 5.0


def find_sensor(
    name: str, options: Mapping[str, Any], on_gpu: bool, on_ask: Callable[[str], None] = lambda name: None
) -> Sensor:
    """The sensor `name`, or with `auto` the first that is there; raises `SensorError` with every reason.

    Args:
        options: of the sensor; `sysfs_root` is where sysfs is mounted, `/sys` when absent, and `max_w` the
            most the person holds for plausible, instead of the sensor's own bounds.
        on_gpu: whether the network that is measured runs on a GPU.
        on_ask: told the name of each sensor before it is asked, which may take long.
    """
    if name != "auto":
        return _open(name, options)
    reasons = []
    for candidate in ON_GPU if on_gpu else ON_CPU:
        on_ask(candidate)
        try:
            return _open(candidate, options)
        except SensorError as error:
            reasons.append(f"{candidate}: {error}")
    raise SensorError("no power sensor found (" + "; ".join(reasons) + ")")


def found_sensors(sysfs_root: Path = SYSFS, limit_s: float = GREETING_LIMIT_S) -> list[str]:
    """Names of the sensors that can be read on this board, for its greeting.

    Args:
        limit_s: one that has not answered by then is left out. All are asked at once.
    """
    found: dict[str, str] = {}
    asked = (*LISTED, *brought.names())

    def look(name: str) -> None:
        with contextlib.suppress(SensorError):
            found[name] = _open(name, {"sysfs_root": str(sysfs_root)}).name

    threads = [threading.Thread(target=look, args=(name,), daemon=True) for name in asked]
    until = time.monotonic() + limit_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    told = dict(found)
    return [told[name] for name in asked if name in told]


def _open(name: str, options: Mapping[str, Any]) -> Sensor:
    if name not in SENSORS and name not in brought.names():
        known = sorted([*SENSORS, *brought.names()])
        raise SensorError(f"no sensor {name!r}; there are auto, {', '.join(known)}")
    own = {key: value for key, value in options.items() if key not in ("sysfs_root", "max_w")}
    try:
        make = SENSORS.get(name) or brought.load(name)
        sensor: Sensor = make(Path(options.get("sysfs_root", SYSFS)), **own)
    except SensorError:
        raise
    except Exception as error:  # options that are none, or whatever a driver's library raises
        raise SensorError(f"sensor {name}: {one_line(error)}") from error
    if "max_w" in options:
        sensor.bounds = bounds_with(sensor.bounds, options["max_w"])
    return sensor
