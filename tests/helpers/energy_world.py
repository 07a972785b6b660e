"""A board in time that the test moves on: power sources whose truth is known, read by the agent's own code.

A `Situation` is a sensor and what happens to it; its energy is right, or absent for the expected reason.
Nothing waits: the modules that read the clock are given this world's, and the recorder's thread is a loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from modnas_agent.energy import measurement as energy
from modnas_agent.energy import sensors
from modnas_agent.energy.sensors import base, meter
from modnas_agent.energy.sensors.meter import Meter
from modnas_agent.energy.sensors.nvml import Nvml
from modnas_agent.energy.sensors.pmic import Pmic
from modnas_agent.errors import one_line
from modnas_agent.wire.request import EnergyRequest

IDLE_W, LOAD_W = 5.0, 20.0
#: Inferences in the window.
CALLS = 1000
#: What the meter's log is stamped with when the world begins, and what this board's clock says then.
EPOCH_S = 1.75e9


class World:
    """`power_w` now, the energy so far, and what is written for the sensor at each tick."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_s = 1000.0
        self.wall_offset_s = EPOCH_S - self.now_s
        self.energy_j = 0.0
        #: Sources write at least this often.
        self.tick_s = 0.05
        self.loaded = False
        #: Seconds of the measurement's window under load that have passed; None outside of it.
        self.in_window_s: float | None = None
        self.idle_w, self.load_w = IDLE_W, LOAD_W
        self.ticks: list[Callable[[], None]] = []
        self._written: dict[Path, str] = {}

    @property
    def power_w(self) -> float:
        return self.load_w if self.loaded else self.idle_w

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s + self.wall_offset_s

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            step_s = min(self.tick_s, end_s - self.now_s)
            self.now_s += step_s
            self.energy_j += self.power_w * step_s
            if self.in_window_s is not None:
                self.in_window_s += step_s
            for tick in self.ticks:
                tick()

    def write(self, folder: str, **files: object) -> Path:
        path = self.root / folder
        for name, content in files.items():
            text, file = f"{content}\n", path / name
            if self._written.get(file) != text:
                path.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
                self._written[file] = text
        return path


class SteppedRecorder:
    """What `Recorder` is to the measurement, read by `poll` instead of a thread."""

    def __init__(self, sensor: Any) -> None:
        self.sensor = sensor
        self.failure: str | None = None
        self.samples: list[Any] = []
        self._reading = False

    def start(self, avoid: Any = ()) -> None:
        self._reading = True

    def stop(self) -> None:
        self._reading = False

    def poll(self) -> None:
        if self._reading and self.failure is None:
            try:
                self.samples.extend(self.sensor.poll())
            except Exception as error:
                self.failure = one_line(f"{self.sensor.name}: {error}")


@dataclass(frozen=True)
class Situation:
    """`make` builds the source and gives the sensor's options.

    Attributes:
        expected: a regular expression of the reason; empty when the energy is right.
        environment: variables of the agent's process.
        library: makes what stands for `pynvml`.
        command: answers for `vcgencmd`.
    """

    name: str
    sensor: str
    make: Callable[[World], dict[str, Any]]
    expected: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    library: Callable[[World], Any] = lambda world: None
    command: Callable[[World], str] | None = None

    def check(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Measure, and compare with what is true."""
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        found = self.measure(world, monkeypatch)
        if self.expected:
            assert "net_mj" not in found and "gross_mj" not in found, found
            assert re.search(self.expected, found["reason"]), found["reason"]
            assert len(found["reason"]) < 400 and "\n" not in found["reason"]
            return
        assert "reason" not in found, found["reason"]
        per_call_s = found["window_s"] / CALLS
        assert found["net_mj"] == pytest.approx(1e3 * (world.load_w - world.idle_w) * per_call_s, rel=0.03)
        assert found["gross_mj"] == pytest.approx(1e3 * world.load_w * per_call_s, rel=0.03)

    def measure(self, world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The `energy` object of a result, measured in the order of the executor."""
        for module in (energy, base, meter):
            monkeypatch.setattr(module, "time", world)
        monkeypatch.setattr(energy, "Recorder", SteppedRecorder)
        made: dict[str, Callable[..., sensors.Sensor]] = {
            "csv": lambda _sysfs, **named: Meter(wall_clock=world.time, **named),
            "nvml": lambda _sysfs, **named: Nvml(library=self.library(world), **named),
        }
        if self.command is not None:
            answer = self.command
            made["pmic"] = lambda _sysfs: Pmic(lambda _command: answer(world))
        for name, make in made.items():
            monkeypatch.setitem(sensors.SENSORS, name, make)
        options = {"sysfs_root": str(world.root), **self.make(world)}
        opening = energy.Opening(EnergyRequest(self.sensor, options), on_gpu=False)
        return run_measurement(world, energy.EnergyMeasurement(opening.open()))


def run_measurement(world: World, measurement: energy.EnergyMeasurement) -> dict[str, Any]:
    """Idle, latency, window, and what may still come."""
    recorder: Any = measurement._recorder
    if recorder is None:
        return measurement.result(None)

    def go(seconds: float) -> None:
        end_s = world.now_s + seconds
        while world.now_s < end_s - 1e-9:
            world.advance(min(recorder.sensor.poll_s, end_s - world.now_s))
            recorder.poll()

    go(measurement.begin_idle())
    measurement.end_idle()
    world.loaded = True
    world.advance(3.0)  # warm-up and latency
    if measurement.plan is None:
        return measurement.result(None)
    measurement.begin_load([0])
    go(measurement.plan.lead_s)
    begin_s, world.in_window_s = world.now_s, 0.0
    go(measurement.plan.window_s)
    window, world.in_window_s = {"begin_s": begin_s, "end_s": world.now_s, "n": CALLS}, None
    go(measurement.plan.lead_s)
    world.loaded = False
    while not measurement.complete(window):
        go(0.1)
    return measurement.result(window)


def several(*makers: Callable[[World], dict[str, Any]]) -> Callable[[World], dict[str, Any]]:
    """All of them; the options of all."""

    def make(world: World) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for maker in makers:
            options |= maker(world)
        return options

    return make


def with_load(watts: float, make: Callable[[World], dict[str, Any]]) -> Callable[[World], dict[str, Any]]:
    """The same under another power."""

    def made(world: World) -> dict[str, Any]:
        world.load_w = watts
        return make(world)

    return made


def in_window(world: World, action: Callable[[], object], at_s: float = 1.0) -> None:
    """Do something at each tick of the window from `at_s` on; after the sources have written."""
    world.ticks.append(lambda: action() if (world.in_window_s or 0.0) > at_s else None)


def later(folder: str, **files: object) -> Callable[[World], dict[str, Any]]:
    """From the window's middle on, these files hold this; None removes one."""

    def change(world: World) -> None:
        for name, content in files.items():
            if content is None:
                (world.root / folder / name).unlink(missing_ok=True)
            else:
                world.write(folder, **{name: content})

    def make(world: World) -> dict[str, Any]:
        in_window(world, lambda: change(world))
        return {}

    return make


def there(folder: str, **files: object) -> Callable[[World], dict[str, Any]]:
    """These files hold this from the beginning."""

    def make(world: World) -> dict[str, Any]:
        world.write(folder, **files)
        return {}

    return make
