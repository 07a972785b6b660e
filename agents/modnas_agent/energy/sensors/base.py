"""What a power sensor must offer, and how its readings are turned into samples."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from typing import Callable, NamedTuple, Sequence

from modnas_agent.foreign_words import meaning_of

#: What the values of a sensor are: power now in watts, or energy since some moment in joules.
POWER = "power"
COUNTER = "counter"

COMMAND_LIMIT_S = 10.0
PATIENCE_PERIODS = 5
MIN_PATIENCE_S = 3.0

#: Runs a command and returns its output; raises `SensorError`.
CommandRunner = Callable[[Sequence[str]], str]


class SensorError(Exception):
    """A sensor that is not there or cannot be read; one line, with what to do where something helps."""


class LostSensorError(SensorError):
    """A sensor that does not answer, unlike one whose answers cannot be true: it may be gone for good."""


class Sample(NamedTuple):
    """A value (W or J, see `Sensor.quantity`) and its time on this board's monotonic clock.

    `wrapped`: the counter behind it came below its last reading, and `value` takes it for a wrap.
    """

    time_s: float
    value: float
    wrapped: bool = False


class Bounds(NamedTuple):
    """Mean powers a sensor can tell of, in watts. Others are a fault of the sensor, its wiring or its units.

    `max_why` and `min_why` say where a bound comes from, `negative_why` what turns the sign round.
    """

    max_w: float
    max_why: str
    min_w: float = 0.0
    min_why: str = ""
    negative_why: str = "a device that computes gives no power"


#: Of a sensor about which nothing is known: more than a rack of servers takes.
ANY_BOARD = Bounds(1e5, "more than a rack of servers takes")


def bounds_with(bounds: Bounds, max_w: object) -> Bounds:
    """`bounds` with the `max_w` of a profile; raises `SensorError` when that is no power."""
    if isinstance(max_w, bool) or not isinstance(max_w, (int, float)) or not 0 < max_w < math.inf:
        raise SensorError(f"max_w: a power in watts is needed, not {max_w!r}")
    return bounds._replace(max_w=float(max_w), max_why="as given")


class Sensor(ABC):
    """One source of power or energy readings.

    Constructors look for the sensor and read it once: they raise `SensorError` when there is none.
    """

    #: As it appears in results, for instance `rapl:package-0`.
    name: str
    quantity: str = POWER
    #: Expected time between two updates of the sensor.
    period_s: float
    #: How long after a change of power the readings have followed it.
    lag_s: float = 0.0
    bounds: Bounds = ANY_BOARD
    #: Whether the samples' times were told by another clock than this board's.
    foreign_clock: bool = False

    @property
    def poll_s(self) -> float:
        """Time to leave between two calls of `poll`."""
        return self.period_s

    @abstractmethod
    def poll(self) -> Sequence[Sample]:
        """Samples since the last call, in the order of time; raises `SensorError`."""

    @property
    def patience_s(self) -> float:
        """How long after a moment its readings may still be on their way: a log may be written in blocks."""
        return max(MIN_PATIENCE_S, PATIENCE_PERIODS * self.period_s)

    def doubt(self) -> str | None:
        """What is wrong with the times of its readings as far as they came; None when nothing is."""
        return None


class PolledSensor(Sensor):
    """A sensor that tells its present value whenever it is asked."""

    @abstractmethod
    def read(self) -> float:
        """The value now; raises `SensorError`."""

    def poll(self) -> Sequence[Sample]:
        before = time.monotonic()
        value = self.read()
        return [Sample((before + time.monotonic()) / 2.0, value)]


def run_command(command: Sequence[str]) -> str:
    """Output of a command; raises `SensorError` when it is missing, fails or takes too long."""
    name = command[0]
    try:
        code, output, errors = _run(command)
    except FileNotFoundError as error:
        raise LostSensorError(f"there is no command {name}") from error
    except subprocess.TimeoutExpired as error:
        raise LostSensorError(f"{name} did not answer within {COMMAND_LIMIT_S:g} s") from error
    except OSError as error:
        raise LostSensorError(f"{name} cannot be run: {error.strerror}") from error
    if code != 0:
        said = (
            meaning_of(errors or output) or f"exit code {code}: {' '.join((errors or output).split())[-200:]}"
        )
        raise LostSensorError(f"{name} failed: {said}")
    return output


def _run(command: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, output and errors.

    One that takes too long is ended with all that it has started, which would hold its output open.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=COMMAND_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors
