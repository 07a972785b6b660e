"""An external power meter whose readings something else appends to a CSV file.

The first line names the columns. `time` is in Unix seconds or ISO 8601 with its zone. The reading is
`power_w`, or `voltage_v` and `current_a`. Other columns are passed over.
"""

from __future__ import annotations

import csv
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, Sequence

from modnas_agent.energy.sensors.base import Bounds, LostSensorError, Sample, Sensor, SensorError

#: Read of a log when it is opened: enough rows to tell the meter's rate, however long the log is.
TAIL_BYTES = 1 << 16
POLL_S = 0.5
#: Unix seconds reach this in the year 5138; anything from here on is a finer unit, by its power of ten.
FINER_UNITS = ((1e17, "nanoseconds"), (1e14, "microseconds"), (1e11, "milliseconds"))
#: How far in the future a row may lie: clocks that tell whole seconds round them.
MAX_AHEAD_S = 0.5
#: Between two readings the board's clock is slewed by less than this share, and set otherwise.
SLEW = 1e-3
MIN_STEP_S = 0.1


class Meter(Sensor):
    """The rows that are appended from now on.

    Args:
        path: the log, on the board.
        clock_offset_s: what must be added to the meter's time to get this board's time.
    """

    foreign_clock = True
    # Two clocks that are kept by the network's time agree to this.
    lag_s = 0.5
    bounds = Bounds(
        4e3,
        "a socket of 16 A gives 3.7 kW; is power_w in mW?",
        negative_why="the meter's leads are swapped, or it counts what is given back",
    )

    def __init__(
        self, path: str, clock_offset_s: float = 0.0, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.name = f"csv:{Path(path).name}"
        self._path = Path(path)
        self._offset_s = float(clock_offset_s)
        if not math.isfinite(self._offset_s):
            raise SensorError(f"clock_offset_s: seconds are needed, not {clock_offset_s!r}")
        self._wall_clock = wall_clock
        self._position = 0
        self._partial = b""
        self._last_s = -math.inf
        self._columns = self._header()
        self.period_s = self._open_at_end()
        self._checked_s = time.monotonic()
        self._to_monotonic_s = self._checked_s - wall_clock()
        self._ages_s: list[float] = []

    @property
    def poll_s(self) -> float:
        return max(POLL_S, self.period_s / 2.0)

    def poll(self) -> Sequence[Sample]:
        to_monotonic_s = self._clock() + self._offset_s
        samples = []
        for stamp_s, power_w in map(self._row, self._new_lines()):
            if stamp_s < self._last_s:
                raise SensorError(f"{self._path}: its time goes back by {self._last_s - stamp_s:.3f} s")
            if stamp_s > self._last_s:
                samples.append(Sample(stamp_s + to_monotonic_s, power_w))
            self._last_s = stamp_s
        if samples:
            self._ages_s.append(self._age_s())
        return samples

    def doubt(self) -> str | None:
        """Whether its clock is another than the board's, or its rows stay away.

        A row's age when it is first seen is how far the meter's clock is behind, and how late it was written.
        """
        age_s, log = self._age_s(), f"the meter's log {self._path}"
        least_s = min(self._ages_s, default=age_s)
        if least_s < -MAX_AHEAD_S:
            return f"{log} is {_span(-least_s)} ahead of the board's clock: {_hint(-least_s)}"
        if self._ages_s and least_s > self.patience_s:
            return f"{log} is {_span(least_s)} behind the board's clock: {_hint(least_s)}"
        if age_s > self.patience_s:
            since = "stands still" if self._ages_s else "has got no row since it was opened"
            return (
                f"{log} {since}, its last row is {_span(age_s)} old by the board's clock: "
                f"is the meter's program running and writing each row at once? If so, {_hint(age_s)}"
            )
        return None

    def _age_s(self) -> float:
        """Of the last row, by the board's clock."""
        return self._wall_clock() - self._last_s - self._offset_s

    def _clock(self) -> float:
        """Monotonic minus wall time; rows before and after a step of the wall clock have no common time."""
        now_s = time.monotonic()
        to_monotonic_s = now_s - self._wall_clock()
        step_s = self._to_monotonic_s - to_monotonic_s
        if abs(step_s) > MIN_STEP_S + SLEW * (now_s - self._checked_s):
            raise SensorError(f"the board's clock was set by {step_s:+.2f} s while {self._path} was read")
        self._checked_s, self._to_monotonic_s = now_s, to_monotonic_s
        return to_monotonic_s

    def _header(self) -> dict[str, int]:
        try:
            with self._path.open("rb") as file:
                line = file.readline(1 << 12)
        except OSError as error:
            raise LostSensorError(f"the meter's log {self._path} cannot be read: {error.strerror}") from error
        self._position = len(line)
        names = [name.strip().lower() for name in _cells(line)]
        self._width = len(names)
        columns = {name: index for index, name in enumerate(names)}
        if "time" not in columns or not ("power_w" in columns or {"voltage_v", "current_a"} <= set(columns)):
            raise SensorError(
                f"{self._path}: the first line must name the columns time and power_w "
                f"(or voltage_v and current_a), it has {', '.join(names)[:100]}"
            )
        return columns

    def _open_at_end(self) -> float:
        """Pass over what is there, and tell the median time between its last rows."""
        start = self._position
        self._position = max(start, self._size() - TAIL_BYTES)
        first = 1 if self._position > start else 0  # a line that may be cut
        lines = self._new_lines()[first:]
        stamps = sorted(self._row(line)[0] for line in lines)
        steps = sorted(later - earlier for earlier, later in zip(stamps, stamps[1:]) if later > earlier)
        if not steps:
            raise SensorError(f"the meter's log {self._path} has not two rows yet: start the meter first")
        self._last_s = stamps[-1]
        return steps[len(steps) // 2]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError as error:
            raise LostSensorError(f"the meter's log {self._path} is gone: {error.strerror}") from error

    def _new_lines(self) -> list[bytes]:
        if self._size() < self._position:
            raise SensorError(f"the meter's log {self._path} became shorter")
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line for line in lines if line.strip()]

    def _row(self, line: bytes) -> tuple[float, float]:
        cells = _cells(line)
        try:
            if any(cell.strip() for cell in cells[self._width :]):
                raise ValueError("more cells than columns; is a comma used as decimal point?")
            stamp_s = _seconds(cells[self._columns["time"]])
            if "power_w" in self._columns:
                power_w = float(cells[self._columns["power_w"]])
            else:
                volts, amperes = (cells[self._columns[name]] for name in ("voltage_v", "current_a"))
                power_w = float(volts) * float(amperes)
        except (ValueError, IndexError) as error:
            shown = line[:80].decode("utf-8", "replace").strip()
            why = "too few cells" if isinstance(error, IndexError) else error
            raise SensorError(f"{self._path}: not a reading: {shown!r} ({why})") from error
        if not (math.isfinite(stamp_s) and math.isfinite(power_w)):
            raise SensorError(f"{self._path}: not finite: {line[:80].decode('utf-8', 'replace')!r}")
        return stamp_s, power_w


def sensor(_sysfs_root: Path, path: str, clock_offset_s: float = 0.0) -> Meter:
    """A log need not be in sysfs."""
    return Meter(path, clock_offset_s)


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8-sig", "replace").strip()]), [])


def _seconds(text: str) -> float:
    """Unix seconds; a time of day without its zone could be anyone's and is refused."""
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError("its time has no zone: append Z for UTC, or +02:00") from None
        return moment.timestamp()
    for least, unit in FINER_UNITS:
        if least <= abs(seconds) < math.inf:
            raise ValueError(f"its time is in {unit}, and Unix seconds are needed")
    return seconds


def _span(seconds: float) -> str:
    """A length of time for people."""
    for length_s, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def _hint(seconds: float) -> str:
    """What to do about two clocks that far apart; zones differ by quarters of an hour, up to 14 of them."""
    quarter_s = 900.0
    by_zone = (
        quarter_s / 2 < seconds < 15 * 3600 and abs(seconds - quarter_s * round(seconds / quarter_s)) < 10
    )
    return "set the two clocks alike, or clock_offset_s" + (
        " (a time zone, or summer time?)" if by_zone else ""
    )
