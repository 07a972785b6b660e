"""What every power sensor must do: it travels to the agent, and tells powers or energies that can be true."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from modnas_agent.board.conditions import SYSFS
from modnas_agent.energy.sensors import Sensor, SensorError
from modnas_agent.energy.sensors.base import COUNTER, POWER, Sample

from harness.core.errors import DeviceUnavailableError
from harness.devices.power import get_sensor, sensor_source
from harness.devices.profile import DeviceProfile
from harness.measure.session import DeviceSession
from harness.testing.agent_modules import check_agent_module
from harness.testing.home import own_home

UPDATES = 3
# How far another clock than this machine's may be from it.
FOREIGN_CLOCK_S = 1.0


def check_sensor(name: str, *, options: dict[str, Any] | None = None) -> None:
    """Check a power sensor on this machine.

    Args:
        options: as a profile gives them; `sysfs_root` may be a folder that plays a board.

    Raises:
        AssertionError: it does not do what a sensor must; the message says what.
        DeviceUnavailableError: it is not there.
    """
    make = get_sensor(name)
    check_agent_module(sensor_source(name), "the constructor")
    profile = DeviceProfile.model_validate(
        {"name": "check", "power_sensor": {"name": name, **(options or {})}}
    )
    told = {**profile.power_sensor.request()["options"]}
    root = Path(told.pop("sysfs_root", SYSFS))
    told.pop("max_w", None)
    with tempfile.TemporaryDirectory() as empty:
        try:
            make(Path(empty), **told)
        except SensorError as error:
            assert str(error) and "\n" not in str(error), f"why there is none: {error!r} is not one line"
    try:
        sensor = make(root, **told)
    except SensorError as error:
        raise DeviceUnavailableError(f"power sensor {name}: {error}") from error
    check_description(sensor)
    check_samples(sensor, poll(sensor))
    with own_home(), DeviceSession(profile) as session:
        answer = session.client.sensor(profile.power_sensor.request(), session.backend_options())
    assert answer.get("sensor") == sensor.name, f"the agent does not find it: {answer.get('reason')}"


def check_description(sensor: Sensor) -> None:
    """What it says of itself."""
    assert sensor.name and sensor.name.isprintable(), f"name {sensor.name!r} is not one line of text"
    assert sensor.quantity in (POWER, COUNTER), f"quantity {sensor.quantity!r} is neither power nor counter"
    for what in ("period_s", "poll_s"):
        assert 0 < getattr(sensor, what) < math.inf, f"{what} is {getattr(sensor, what)}"
    assert 0 <= sensor.lag_s < math.inf, f"lag_s is {sensor.lag_s}"
    assert 0 <= sensor.bounds.min_w < sensor.bounds.max_w, f"no power lies within {sensor.bounds}"
    assert sensor.bounds.max_why, "the bounds do not say why"


def poll(sensor: Sensor) -> list[Sample]:
    """Its samples until there are three, or it has had long enough for them."""
    found: list[Sample] = []
    until = time.monotonic() + sensor.patience_s + UPDATES * sensor.period_s
    while len(found) < UPDATES and time.monotonic() < until:
        found += sensor.poll()
        time.sleep(sensor.poll_s)
    return found


def check_samples(sensor: Sensor, samples: Sequence[Sample]) -> None:
    """Samples that were just taken: in order, of now, and nothing that cannot be true."""
    assert len(samples) >= UPDATES, f"{len(samples)} samples within its patience"
    times, now_s = [sample.time_s for sample in samples], time.monotonic()
    assert times == sorted(set(times)), "the samples' times do not grow"
    slack_s = FOREIGN_CLOCK_S if sensor.foreign_clock else 0.0
    assert times[-1] <= now_s + slack_s, "a sample is from the future of this machine's monotonic clock"
    span_s = 2 * (sensor.patience_s + UPDATES * sensor.period_s) + slack_s
    assert times[0] > now_s - span_s, "a sample's time is not of this machine's monotonic clock"
    assert all(math.isfinite(sample.value) for sample in samples), "a value is not finite"
    least, most = sensor.bounds.min_w, sensor.bounds.max_w
    if sensor.quantity == POWER:
        powers = [sample.value for sample in samples]
    else:
        least = 0.0  # a counter may stand still for a moment
        powers = [(b.value - a.value) / (b.time_s - a.time_s) for a, b in pairwise(samples)]
    assert all(least <= power <= most for power in powers), f"{powers} W are not within {sensor.bounds}"
