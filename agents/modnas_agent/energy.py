"""The energy of an inference: idle power first, then a window of many inferences.

The agent reads the sensor, the worker does nothing but infer. It loads the board before and beyond the
window, so that power is steady at both of its ends and the sensor has updates on both sides.
"""

from __future__ import annotations

import time
from typing import Any, Mapping

from modnas_agent.recorder import Recorder
from modnas_agent.request import EnergyRequest, WindowPlan
from modnas_agent.sensors import Sensor, SensorError, find_sensor
from modnas_agent.trace import MIN_UPDATES, EnergyError, Trace, Window, energy_per_inference

#: Updates of the sensor before and after the window while the load is on.
LEAD_UPDATES = 2
MIN_LEAD_S = 0.1
MIN_IDLE_S = 1.0
#: A log may be written in blocks: how long to wait for its last rows, in the meter's periods and at least.
PATIENCE_PERIODS = 5
MIN_PATIENCE_S = 3.0
#: Sensors run a little slower than they say.
MARGIN = 1.1


def plan_window(sensor: Sensor, request: EnergyRequest) -> WindowPlan:
    """A window long enough for the sensor; raises `EnergyError` when the request forbids one."""
    needed_s = MARGIN * MIN_UPDATES * sensor.period_s
    if needed_s > request.max_window_s:
        raise EnergyError(
            f"window too short: {sensor.name} is updated every {sensor.period_s:.3g} s, "
            f"{MIN_UPDATES} updates take {needed_s:.3g} s, max_window_s is {request.max_window_s:g}"
        )
    lead_s = max(MIN_LEAD_S, LEAD_UPDATES * MARGIN * sensor.period_s, sensor.lag_s)
    return WindowPlan(lead_s, max(request.window_s, needed_s))


def uses_gpu(options: Mapping[str, Any]) -> bool:
    """Whether a backend with these options computes on a GPU."""
    provider, device = str(options.get("provider", "")), str(options.get("device", ""))
    return provider.startswith(("CUDA", "Tensorrt")) or device.startswith("cuda")


class EnergyMeasurement:
    """In the agent: the energy side of one job. Without a usable sensor it does nothing but tell why."""

    def __init__(self, request: EnergyRequest, on_gpu: bool) -> None:
        self.plan: WindowPlan | None = None
        self._failure: str | None = None
        self._idle: Window | None = None
        self._recorder: Recorder | None = None
        try:
            sensor = find_sensor(request.sensor, request.options, on_gpu)
            self.plan = plan_window(sensor, request)
            self._recorder = Recorder(sensor)
        except (SensorError, EnergyError) as error:
            self._failure = str(error)

    def begin_idle(self) -> float:
        """Start recording the idle board; for how many seconds from now, 0 when nothing is recorded."""
        if self._recorder is None or self.plan is None:
            return 0.0
        self._recorder.start()
        sensor = self._recorder.sensor
        length_s = max(MIN_IDLE_S, MARGIN * MIN_UPDATES * sensor.period_s)
        begin_s = time.monotonic() + max(sensor.lag_s, LEAD_UPDATES * sensor.period_s)
        self._idle = Window(begin_s, begin_s + length_s)
        return self._idle.end_s + LEAD_UPDATES * sensor.period_s - time.monotonic()

    def end_idle(self) -> None:
        """Stop recording while the latency is measured."""
        self.stop()

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
        """How a sensor that could be read before came to fail, or None."""
        return self._recorder.failure if self._recorder is not None else None

    def complete(self, window: Mapping[str, Any]) -> bool:
        """Whether nothing more will come: readings reach past the window, reading failed, or time is up."""
        if self._recorder is None or self.failure is not None:
            return True
        patience_s = max(MIN_PATIENCE_S, PATIENCE_PERIODS * self._recorder.sensor.period_s)
        samples, end_s = self._recorder.samples, float(window["end_s"])
        return (bool(samples) and samples[-1].time_s >= end_s) or time.monotonic() > end_s + patience_s

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
            trace = Trace(self._recorder.samples, self._recorder.sensor.quantity)
            load = Window(window["begin_s"], window["end_s"])
            try:
                return {**found, **energy_per_inference(trace, self._idle, load, window["n"])}
            except EnergyError as error:
                reason = str(error)
        return {**found, "reason": reason or "the measurement ended before its energy window"}


def describe(request: EnergyRequest, on_gpu: bool) -> dict[str, Any]:
    """The sensor a measurement would use: its name, or the reason why it has none."""
    try:
        sensor = find_sensor(request.sensor, request.options, on_gpu)
        plan_window(sensor, request)
    except (SensorError, EnergyError) as error:
        return {"sensor": None, "reason": str(error)}
    return {"sensor": sensor.name, "reason": None}
