"""A board in time that the test moves on: power sources whose truth is known, read by the agent's own code.

Nothing waits: the modules that read the clock are given this world's, and the recorder's thread is a loop here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modnas_agent import energy, sensors
from modnas_agent.errors import one_line
from modnas_agent.request import EnergyRequest
from modnas_agent.sensors import base, meter
from modnas_agent.sensors.meter import Meter
from modnas_agent.sensors.nvml import Nvml

IDLE_W, LOAD_W = 5.0, 20.0
#: Inferences in the window.
CALLS = 1000
#: What the meter's log is stamped with when the world begins, and what this board's clock says then.
EPOCH_S = 1.75e9
TICK_S = 0.01


class World:
    """`power_w` now, the energy so far, and what is written for the sensor at each tick."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_s = 1000.0
        self.wall_offset_s = EPOCH_S - self.now_s
        self.energy_j = 0.0
        self.loaded = False
        #: Seconds of the measurement's window under load that have passed; None outside of it.
        self.in_window_s: float | None = None
        self.idle_w, self.load_w = IDLE_W, LOAD_W
        self.ticks: list[Callable[[], None]] = []

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
            step_s = min(TICK_S, end_s - self.now_s)
            self.now_s += step_s
            self.energy_j += self.power_w * step_s
            if self.in_window_s is not None:
                self.in_window_s += step_s
            for tick in self.ticks:
                tick()

    def write(self, folder: str, **files: object) -> Path:
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name).write_text(f"{content}\n")
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


def measured(
    world: World,
    sensor: str,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    gpu: Any = None,
    pmic: Callable[[], str] | None = None,
    on_gpu: bool = False,
) -> dict[str, Any]:
    """The `energy` object of a result, measured as the executor does it."""
    for module in (energy, base, meter):
        monkeypatch.setattr(module, "time", world)
    monkeypatch.setattr(energy, "Recorder", SteppedRecorder)
    meters = {"csv": lambda _sysfs, **named: Meter(wall_clock=world.time, **named)}
    gpus = {"nvml": lambda _sysfs, **named: Nvml(library=gpu, **named)}
    made = sensors.SENSORS["pmic"]
    boards = {"pmic": lambda _sysfs: _pmic(pmic) if pmic else made(_sysfs)}
    monkeypatch.setattr(sensors, "SENSORS", {**sensors.SENSORS, **meters, **gpus, **boards})
    wanted = {"sysfs_root": str(world.root), **options}
    measurement = energy.EnergyMeasurement(EnergyRequest(sensor, wanted), on_gpu)
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
    window = None
    if measurement.plan is not None:
        plan = measurement.plan
        measurement.begin_load([0])
        go(plan.lead_s)
        window = {"begin_s": world.now_s, "n": CALLS}
        world.in_window_s = 0.0
        go(plan.window_s)
        world.in_window_s = None
        window["end_s"] = world.now_s
        go(plan.lead_s)
        world.loaded = False
        while not measurement.complete(window):
            go(0.1)
    return measurement.result(window)


def _pmic(answer: Callable[[], str]) -> Any:
    return sensors.Pmic(lambda _command: answer())
