"""Whatever a sensor says, its energy is right or absent, finite, and within the sensor's bounds."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modnas_agent.energy.plausibility import EnergyError
from modnas_agent.energy.sensors import base
from modnas_agent.energy.sensors.base import COUNTER, POWER, Bounds, Sample
from modnas_agent.energy.sensors.rapl import Rapl
from modnas_agent.energy.trace import Trace, Window, energy_per_inference

IDLE, LOAD = Window(0.2, 1.4), Window(2.0, 4.0)
END_S = 4.5
POLL_S = 0.05


@settings(max_examples=25, deadline=None)
@given(
    range_j=st.sampled_from([20.0, 65.5, 1000.0, 65_712.999613, 262_143.32885]),
    start=st.floats(0, 0.999999),
    watts=st.tuples(st.floats(0.5, 20), st.floats(1, 80)),
    resets=st.lists(st.floats(0, END_S), max_size=4),
    late=st.lists(st.floats(0, 0.02), min_size=7, max_size=7),
)
def test_wraps_and_resets_of_a_counter(
    range_j: float,
    start: float,
    watts: tuple[float, float],
    resets: list[float],
    late: list[float],
) -> None:
    """A reset that passes for a wrap is worth no more than the energy between two readings."""
    clock = SimpleNamespace(now_s=0.0)
    clock.monotonic = lambda: clock.now_s

    def true_j(time_s: float) -> float:
        return watts[0] * time_s + watts[1] * max(0.0, time_s - 1.5)

    def counted_uj(time_s: float) -> int:
        last = max((at_s for at_s in resets if at_s <= time_s), default=None)
        counted_j = true_j(time_s) + start * range_j if last is None else true_j(time_s) - true_j(last)
        return int(counted_j % range_j * 1e6)

    with tempfile.TemporaryDirectory() as root, mock.patch.object(base, "time", clock):
        domain = Path(root) / "class/powercap/intel-rapl:0"
        domain.mkdir(parents=True)
        (domain / "name").write_text("package-0\n")
        (domain / "max_energy_range_uj").write_text(f"{int(range_j * 1e6)}\n")
        (domain / "energy_uj").write_text(f"{counted_uj(0.0)}\n")
        sensor, samples = Rapl(Path(root)), []
        for number in range(int(END_S / POLL_S)):
            clock.now_s = number * POLL_S + late[number % len(late)]
            (domain / "energy_uj").write_text(f"{counted_uj(clock.now_s)}\n")
            samples.extend(sensor.poll())
    try:
        found = energy_per_inference(Trace(samples, COUNTER, sensor.bounds), IDLE, LOAD, 1)
    except EnergyError:
        assert resets or watts[1] < 0.1 * watts[0], "refused only where something happened to the counter"
        return
    step_j = 2 * POLL_S * (watts[0] + watts[1])
    error_j = 0.03 * watts[1] * LOAD.length_s + 2 * len(resets) * step_j
    assert found["gross_mj"] / 1e3 == pytest.approx(true_j(LOAD.end_s) - true_j(LOAD.begin_s), abs=error_j)
    assert 0 < found["load_w"] <= sensor.bounds.max_w


ODD = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, 5e-324])


@pytest.mark.slow
@given(
    values=st.lists(st.floats(0, 50) | ODD, min_size=100, max_size=100),
    quantity=st.sampled_from([POWER, COUNTER]),
    rising=st.booleans(),
    flags=st.lists(st.booleans(), min_size=100, max_size=100),
)
def test_any_readings_at_all(values: list[float], quantity: str, rising: bool, flags: list[bool]) -> None:
    ordered = sorted(values) if rising else values
    samples = [
        Sample(n * POLL_S, value, flag) for n, (value, flag) in enumerate(zip(ordered, flags, strict=True))
    ]
    bounds = Bounds(40.0, "of the test")
    try:
        found = energy_per_inference(Trace(samples, quantity, bounds), IDLE, LOAD, 3)
    except EnergyError as error:
        assert str(error)
        return
    assert 0 < found["net_mj"] <= found["gross_mj"] + 1e-6 * abs(found["gross_mj"]) or found["idle_w"] < 0
    assert all(math.isfinite(value) for value in found.values())
    assert found["load_w"] <= bounds.max_w


def test_a_reset_is_told_from_a_wrap_by_the_power_around_it() -> None:
    """A range so short that the wrap would be plausible by the processor's limits."""

    def trace(step_j: float) -> Trace:
        samples, total_j = [], 0.0
        for number in range(100):
            jump = number == 60
            total_j += step_j if jump else (0.1 if number < 30 else 0.5)
            samples.append(Sample(number * POLL_S, total_j, wrapped=jump))
        return Trace(samples, COUNTER, Bounds(2000.0, "its limit"))

    assert energy_per_inference(trace(0.5), IDLE, LOAD, 1)["load_w"] == pytest.approx(10.0)
    with pytest.raises(
        EnergyError, match=r"counter was reset: .*mean about 80 W, where otherwise it told 10 W"
    ):
        energy_per_inference(trace(4.0), IDLE, LOAD, 1)
