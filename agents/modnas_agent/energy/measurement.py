"""The energy of an inference: idle power first, then a window of many inferences.

The agent reads the sensor, the worker does nothing but infer. It loads the board before and beyond the
window, so that power is steady at both of its ends and the sensor has updates on both sides.
"""

from __future__ import annotations

import time
from typing import Any, Mapping, NamedTuple

from modnas_agent.energy.plausibility import EnergyError
from modnas_agent.energy.recorder import Recorder
from modnas_agent.energy.sensors import Sensor, SensorError, find_sensor
from modnas_agent.energy.trace import MIN_UPDATES, Trace, Window, energy_per_inference
from modnas_agent.errors import one_line
from modnas_agent.wire.request import EnergyRequest, WindowPlan

#: Updates of the sensor before and after the window while the load is on.
LEAD_UPDATES = 2
MIN_LEAD_S = 0.1
MIN_IDLE_S = 1.0
#: Sensors run a little slower than they say.
MARGIN = 1.1


def plan_window(sensor: Sensor, request: EnergyRequest) -> WindowPlan:
    """A window long enough for the sensor; raises `EnergyError` when the request forbids one."""
    needed_s = MARGIN * MIN_UPDATES * sensor.period_s
    if needed_s > request.max_window_s:
        raise EnergyError(
            with_doubt(
                f"window too short: {sensor.name} is updated every {sensor.period_s:.3g} s, "
                f"{MIN_UPDATES} updates take {needed_s:.3g} s, max_window_s is {request.max_window_s:g}",
                sensor,
            )
        )
    return WindowPlan(max(MIN_LEAD_S, MARGIN * lead_s(sensor)), max(request.window_s, needed_s))


def lead_s(sensor: Sensor) -> float:
    """How long power must be steady before a window, and after it, for the sensor to show it so."""
    return max(LEAD_UPDATES * sensor.period_s, sensor.lag_s)


def with_doubt(reason: str, sensor: Sensor) -> str:
    """A reason for having no energy, and what is wrong with the times of the readings, if anything."""
    doubt = sensor.doubt()
    return f"{reason}; {doubt}" if doubt else reason


def uses_gpu(options: Mapping[str, Any]) -> bool:
    """Whether a backend with these options computes on a GPU."""
    provider, device = str(options.get("provider", "")), str(options.get("device", ""))
    return provider.startswith(("CUDA", "Tensorrt")) or device.startswith("cuda")


class OpenedSensor(NamedTuple):
    """A sensor and the window that it needs, or the reason why there is none."""

    sensor: Sensor | None = None
    plan: WindowPlan | None = None
    failure: str | None = None


class Opening:
    """Looking for the sensor of a measurement. `open` may take long and is called on a thread of its own."""

    def __init__(self, request: EnergyRequest, on_gpu: bool) -> None:
        self._request, self._on_gpu = request, on_gpu
        self._asked = request.sensor

    def open(self) -> OpenedSensor:
        """The sensor and the window it needs, or why there is none."""
        try:
            sensor = find_sensor(self._request.sensor, self._request.options, self._on_gpu, self._ask)
            return OpenedSensor(sensor, plan_window(sensor, self._request))
        except (SensorError, EnergyError) as error:
            return OpenedSensor(failure=str(error))

    def given_up(self, error: Exception) -> OpenedSensor:
        """What is found when `open` is waited for no longer."""
        return OpenedSensor(failure=one_line(f"no power sensor: {self._asked} {error}"))

    def _ask(self, name: str) -> None:
        self._asked = name


class EnergyMeasurement:
    """In the agent: the energy side of one job. Without a usable sensor it does nothing but tell why."""

    def __init__(self, opened: OpenedSensor) -> None:
        self.plan = opened.plan
        self._failure = opened.failure
        self._idle: Window | None = None
        self._recorder = Recorder(opened.sensor) if opened.sensor is not None else None

    def begin_idle(self) -> float:
        """Start recording the idle board; for how many seconds from now, 0 when nothing is recorded."""
        if self._recorder is None or self.plan is None:
            return 0.0
        self._recorder.start()
        sensor = self._recorder.sensor
        length_s = max(MIN_IDLE_S, MARGIN * MIN_UPDATES * sensor.period_s)
        begin_s = time.monotonic() + lead_s(sensor)
        self._idle = Window(begin_s, begin_s + length_s)
        return self._idle.end_s + lead_s(sensor) - time.monotonic()

    def end_idle(self) -> None:
        """Stop recording while the latency is measured.

        A sensor that failed, or whose readings cannot be true, spares the worker its window.
        """
        self.stop()
        if self.failure is None and self._recorder is not None:
            self._failure = implausible(self._recorder)
        if self.failure is not None:
            self.plan = None

    def begin_load(self, cpus: list[int] | None) -> None:
        """The worker is about to start its window on `cpus`."""
        if self._recorder is not None:
            self._recorder.start(avoid=cpus or ())

    @property
    def failure(self) -> str | None:
        """Why there is no energy, as far as it is known."""
        if self._failure is None and self._recorder is not None:
            return self._recorder.failure
        return self._failure

    @property
    def lost(self) -> str | None:
        """How a sensor that could be read before ceased to answer, or None."""
        return self._recorder.failure if self._recorder is not None and self._recorder.lost else None

    def complete(self, window: Mapping[str, Any]) -> bool:
        """Whether nothing more will come: readings reach past the window, reading failed, or time is up."""
        if self._recorder is None or self.failure is not None:
            return True
        samples, end_s = self._recorder.samples, float(window["end_s"])
        if samples and samples[-1].time_s >= end_s:
            return True
        return time.monotonic() > end_s + self._recorder.sensor.patience_s

    def stop(self) -> None:
        """Read no more for now."""
        if self._recorder is not None:
            self._recorder.stop()

    def result(self, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """The `energy` object of a result: figures, or the reason why there are none."""
        self.stop()
        found: dict[str, Any] = {}
        if self._recorder is not None:
            sensor = self._recorder.sensor
            found = {"sensor": sensor.name, "quantity": sensor.quantity}
        reason = self.failure
        if reason is None and self._recorder is not None and window is not None and self._idle is not None:
            sensor = self._recorder.sensor
            trace = Trace(self._recorder.samples, sensor.quantity, sensor.bounds)
            load = Window(window["begin_s"], window["end_s"])
            try:
                figures = energy_per_inference(
                    trace, self._idle, load, window["n"], foreign_clock=sensor.foreign_clock
                )
                reason = sensor.doubt()
                if reason is None:
                    return {**found, **figures}
            except EnergyError as error:
                reason = with_doubt(str(error), sensor)
        return {**found, "reason": reason or "the measurement ended before its energy window"}


def implausible(recorder: Recorder) -> str | None:
    """Why the readings so far cannot be true; None when they can, or are too few to say."""
    trace = Trace(recorder.samples, recorder.sensor.quantity, recorder.sensor.bounds)
    try:
        trace.check_all()
    except EnergyError as error:
        return str(error)
    return None
