"""Traces of known energy: at any rate of the sensor within 3 %, or refused."""

from __future__ import annotations

import math
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modnas_agent.energy.measurement import plan_window
from modnas_agent.energy.plausibility import EnergyError
from modnas_agent.energy.sensors.base import COUNTER, POWER, Sample
from modnas_agent.energy.sensors.meter import Meter
from modnas_agent.energy.trace import Trace, Window, energy_per_inference, energy_warnings
from modnas_agent.wire.request import EnergyRequest

#: Unix time minus monotonic time in the replayed logs.
EPOCH_S = 1.7e9


@dataclass(frozen=True)
class Load:
    """A board at `idle_w` that takes more from `on_s` to `off_s`: a level, a drift and a ripple."""

    idle_w: float
    level_w: float
    ripple_w: float
    ripple_s: float
    on_s: float
    off_s: float

    def power_w(self, time_s: float) -> float:
        if not self.on_s <= time_s <= self.off_s:
            return self.idle_w
        since = time_s - self.on_s
        drift = 0.1 * self.level_w * since / (self.off_s - self.on_s)
        return (
            self.idle_w + self.level_w + drift + self.ripple_w * math.sin(2 * math.pi * since / self.ripple_s)
        )

    def net_j(self, window: Window) -> float:
        """The integral of what goes beyond idle, worked out from the formula of `power_w`."""
        first, last = window.begin_s - self.on_s, window.end_s - self.on_s
        angle = 2 * math.pi / self.ripple_s
        return (
            self.level_w * window.length_s
            + 0.1 * self.level_w * (last**2 - first**2) / 2 / (self.off_s - self.on_s)
            + self.ripple_w / angle * (math.cos(angle * first) - math.cos(angle * last))
        )


@settings(max_examples=40)
@given(
    rate_hz=st.sampled_from([1.0, 10.0, 1000.0]),
    phase=st.floats(0, 1),
    idle_w=st.floats(0.5, 5),
    level_w=st.floats(0.5, 20),
    ripple=st.tuples(st.floats(0, 0.2), st.floats(5, 50)),
    request=st.builds(
        EnergyRequest, window_s=st.floats(0.5, 4), max_window_s=st.sampled_from([2.0, 5.0, 30.0])
    ),
)
def test_a_replayed_log_gives_its_known_energy_or_says_that_the_window_is_too_short(
    *,
    rate_hz: float,
    phase: float,
    idle_w: float,
    level_w: float,
    ripple: tuple[float, float],
    request: EnergyRequest,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "meter.csv"
        start_s = time.monotonic()
        first = [start_s - 2 / rate_hz, start_s - 1 / rate_hz]
        log.write_text("time,power_w\n" + "".join(f"{EPOCH_S + t:.6f},{idle_w}\n" for t in first))
        meter = Meter(str(log), wall_clock=lambda: time.monotonic() + EPOCH_S)
        try:
            plan = plan_window(meter, request)
        except EnergyError as error:
            assert "window too short" in str(error)
            assert 25 / rate_hz > request.max_window_s, "refused only where 20 updates hardly fit"
            return
        idle = Window(start_s + 2 / rate_hz, start_s + 2 / rate_hz + plan.window_s)
        begin_s = idle.end_s + 2 / rate_hz + 0.3 + plan.lead_s
        window = Window(begin_s, begin_s + plan.window_s)
        load = Load(
            idle_w,
            level_w,
            ripple_w=ripple[0] * level_w,
            ripple_s=ripple[1] / rate_hz,
            on_s=window.begin_s - plan.lead_s,
            off_s=window.end_s + plan.lead_s,
        )
        with log.open("a") as file:
            count = math.ceil((load.off_s + 2 / rate_hz - start_s) * rate_hz)
            times = (start_s + (n + phase) / rate_hz for n in range(count))
            file.writelines(f"{EPOCH_S + t:.6f},{load.power_w(t):.9f}\n" for t in times)
        trace = Trace(meter.poll(), POWER)
    found = energy_per_inference(trace, idle, window, inferences=100)
    assert found["net_mj"] == pytest.approx(1e3 * load.net_j(window) / 100, rel=0.03)
    gross_j = load.net_j(window) + idle_w * window.length_s
    assert found["gross_mj"] == pytest.approx(1e3 * gross_j / 100, rel=0.03)
    assert found["idle_w"] == pytest.approx(idle_w, rel=1e-6)
    assert found["rate_hz"] == pytest.approx(rate_hz, rel=0.01)


@given(
    update_s=st.sampled_from([0.001, 0.02, 0.1]),
    poll_s=st.sampled_from([0.005, 0.02, 0.05]),
    idle_w=st.floats(1, 10),
    level_w=st.floats(1, 50),
    phase=st.floats(0, 1),
)
def test_a_stale_counter_gives_its_known_energy(
    update_s: float, poll_s: float, idle_w: float, level_w: float, phase: float
) -> None:
    idle, window, on_s = Window(0.5, 3.5), Window(5.0, 8.0), 4.5

    def counted_j(time_s: float) -> float:
        updated_s = (math.floor(time_s / update_s + phase) - phase) * update_s
        return idle_w * updated_s + level_w * max(0.0, updated_s - on_s)

    times = [n * poll_s for n in range(int(9 / poll_s))]
    trace = Trace([Sample(t, counted_j(t)) for t in times], COUNTER)
    found = energy_per_inference(trace, idle, window, inferences=1)
    gross_mj = 1e3 * (idle_w + level_w) * 3.0
    assert found["gross_mj"] == pytest.approx(gross_mj, rel=0.03)
    assert found["net_mj"] == pytest.approx(1e3 * level_w * 3.0, abs=0.03 * gross_mj)


def test_the_told_uncertainty_covers_the_noise_of_the_meter() -> None:
    generator, idle, load = random.Random(1), Window(1, 4), Window(6, 9)
    covered, warned = 0, 0
    for _ in range(200):
        times = [n / 10 for n in range(110)]
        watts = [5.0 + (t >= 5) * 1.0 + generator.gauss(0, 0.1) for t in times]
        trace = Trace([Sample(t, w) for t, w in zip(times, watts, strict=True)], POWER)
        found = energy_per_inference(trace, idle, load, inferences=1)
        covered += abs(found["net_mj"] / 3000 - 1) <= found["net_half_width"]
        warned += any("energy window too short" in warning for warning in energy_warnings(found))
    assert 180 <= covered <= 199, "about 95 %"
    assert warned > 190, "noise of 0.1 W leaves 5 % of uncertainty in 1 W over 3 s at 10 Hz"
    quiet = Trace(steady(5, 0, 5, 0.1) + steady(6, 5.1, 11, 0.1), POWER)
    assert energy_warnings(energy_per_inference(quiet, idle, load, inferences=1)) == []


def steady(power_w: float, begin_s: float, end_s: float, period_s: float) -> list[Sample]:
    count = round((end_s - begin_s) / period_s) + 1
    return [Sample(begin_s + n * period_s, power_w) for n in range(count)]


def test_edges_between_readings_are_interpolated() -> None:
    ramp = [Sample(float(n), float(n)) for n in range(30)]
    trace = Trace(ramp, POWER)
    assert trace.energy_j(Window(2.25, 25.5)) == pytest.approx((25.5**2 - 2.25**2) / 2)
    assert trace.energy_j(Window(2.0, 25.0)) == pytest.approx((25**2 - 2**2) / 2)
    assert trace.updates(Window(2.0, 25.0)) == 24


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "window too short: 0 updates"),
        (steady(5, 0, 20, 2.5), "window too short: 5 updates"),
        (steady(5, 0, 18, 0.1), "do not reach over the whole window"),
        (steady(5, 11, 30, 0.1), "do not reach over the whole window"),
        (steady(5, 0, 12, 0.1) + steady(5, 16, 30, 0.1), "silent for 4.00 of 10.00 s"),
    ],
)
def test_a_trace_that_does_not_tell_is_refused(samples: list[Sample], says: str) -> None:
    with pytest.raises(EnergyError, match=says):
        Trace(samples, POWER).energy_j(Window(10, 20))


def test_a_load_within_the_idle_power_has_no_energy() -> None:
    trace = Trace(steady(5, 0, 10, 0.1) + steady(4.9, 11, 21, 0.1), POWER)
    with pytest.raises(EnergyError, match=r"load \(4.9 W\) is not above the idle power \(5 W\)"):
        energy_per_inference(trace, Window(1, 9), Window(12, 20), inferences=10)
    unknown_idle = Trace(steady(5, 11, 21, 0.1), POWER)
    with pytest.raises(EnergyError, match="idle power: window too short"):
        energy_per_inference(unknown_idle, Window(1, 9), Window(12, 20), inferences=10)


def test_a_counter_that_stands_still_tells_nothing() -> None:
    with pytest.raises(EnergyError, match="0 updates"):
        Trace([Sample(n / 10, 7.0) for n in range(300)], COUNTER).energy_j(Window(10, 20))
