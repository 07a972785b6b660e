"""Numbers from sysfs whose absence is an error with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from modnas_agent.energy.sensors.base import LostSensorError, SensorError
from modnas_agent.files import read_number, read_text
from modnas_agent.permissions import permission_hint

#: Reading faster than this costs more than it tells, whatever a driver says of itself.
MIN_PERIOD_S = 0.02


def required_number(path: Path, mend: str = "") -> int:
    """The whole number in `path`; raises `SensorError` that says why there is none.

    `mend`: what to do where it may not be read; by default what its owner and group tell.
    """
    try:
        text = path.read_text(encoding="ascii").strip().strip("\0")
    except PermissionError as error:
        raise LostSensorError(f"no permission to read {path}; {mend or permission_hint(path)}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise LostSensorError(f"cannot read {path}: {reason}") from error
    try:
        return int(text)
    except ValueError as error:
        raise SensorError(f"{path} holds {text[:20]!r}, not a number") from error


def hwmon_chips(sysfs_root: Path) -> Iterator[tuple[str, Path]]:
    """(chip name, folder) of all hardware monitors."""
    for folder in sorted((sysfs_root / "class" / "hwmon").glob("hwmon*")):
        yield read_text(folder / "name") or "?", folder


def update_period_s(chip: Path) -> float:
    """Time between two conversions of a hardware monitor, as its driver tells; never below 20 ms."""
    interval_ms = read_number(chip / "update_interval")
    return max(MIN_PERIOD_S, (interval_ms or 0) / 1000.0)


def shunt_limit_a(resistor: Path, full_scale_mv: float) -> float | None:
    """The current at which a monitor's range over its shunt ends; None when the resistor (µΩ) is not told."""
    micro_ohms = read_number(resistor)
    return full_scale_mv / micro_ohms * 1e3 if micro_ohms and micro_ohms > 0 else None


def within_range(current_a: float, limit_a: float | None, what: str) -> float:
    """`current_a`, unless it lies at the end of its range: what flows beyond that is not seen."""
    if limit_a is not None and abs(current_a) >= 0.995 * limit_a:
        raise SensorError(
            f"{what} is at the end of its range, {limit_a:.3g} A: more may flow; a smaller shunt is needed"
        )
    return current_a
