"""The built-in sensors pass what is asked of other packages', and the checks find what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from modnas_agent.energy.sensors.base import COUNTER, Bounds, PolledSensor, Sample

from harness.core.errors import DeviceUnavailableError
from harness.devices.power import SENSORS
from harness.testing import check_sensor
from harness.testing.sensors import check_description, check_samples, poll

HWMON, POWERCAP, SUPPLY = "class/hwmon/hwmon0", "class/powercap/intel-rapl:0", "class/power_supply/BAT0"
# What plays a board for each sensor that is read from files of sysfs.
FILES: dict[str, tuple[str, dict[str, object]]] = {
    "rapl": (POWERCAP, {"name": "package-0", "energy_uj": 10**6, "max_energy_range_uj": 10**9}),
    "jetson": (
        HWMON,
        {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": 5_000, "curr1_input": 2_000},
    ),
    "ina2xx": (HWMON, {"name": "ina260", "power1_input": 4_000_000}),
    "battery": (
        SUPPLY,
        {"type": "Battery", "status": "Discharging", "current_now": -400_000, "voltage_now": 4_000_000},
    ),
}
VCGENCMD = """#!/bin/sh
echo '  VDD_CORE_A current(7)=1.50000000A'
echo '  VDD_CORE_V volt(15)=0.80000000V'
"""


@contextmanager
def metered(path: Path) -> Iterator[None]:
    """A meter's log that gets ten rows a second."""
    stop = threading.Event()

    def row() -> str:
        return f"{time.time():.3f},12.5\n"

    def write() -> None:
        while not stop.wait(0.1):
            with path.open("a") as file:
                file.write(row())

    path.write_text(f"time,power_w\n{time.time() - 0.1:.3f},12.5\n{row()}")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", SENSORS.built_in)
def test_built_in_sensors_conform(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"sysfs_root": str(tmp_path)}
    if name in FILES:
        folder, files = FILES[name]
        (tmp_path / folder).mkdir(parents=True)
        for file, content in files.items():
            (tmp_path / folder / file).write_text(f"{content}\n")
    if name == "pmic":
        (tmp_path / "vcgencmd").write_text(VCGENCMD)
        (tmp_path / "vcgencmd").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    log = tmp_path / "meter.csv"
    with metered(log) if name == "csv" else nullcontext():
        try:
            check_sensor(name, options={**options, **({"path": str(log)} if name == "csv" else {})})
        except DeviceUnavailableError as error:
            assert name == "nvml", error
            pytest.skip(str(error))


class Played(PolledSensor):
    """A sensor of which a test says everything."""

    def __init__(self, **attributes: Any) -> None:
        self.name, self.period_s = "played", 0.01
        self.bounds = Bounds(100.0, "a test says so")
        for name, value in attributes.items():
            setattr(self, name, value)

    def read(self) -> float:
        return 5.0


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"name": "two\nlines"}, "one line"),
        ({"quantity": "voltage"}, "voltage"),
        ({"period_s": 0.0}, "period_s"),
        ({"lag_s": -1.0}, "lag_s"),
        ({"bounds": Bounds(5.0, "why", min_w=6.0)}, "no power"),
        ({"bounds": Bounds(5.0, "")}, "why"),
    ],
)
def test_what_is_wrong_with_a_description_is_said(attributes: dict[str, Any], says: str) -> None:
    check_description(Played())
    with pytest.raises(AssertionError, match=says):
        check_description(Played(**attributes))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda samples: samples[:2], "2 samples"),
        (lambda samples: samples[::-1], "do not grow"),
        (lambda samples: [s._replace(time_s=s.time_s + 60) for s in samples], "future"),
        (lambda samples: [s._replace(time_s=s.time_s - 1e6) for s in samples], "monotonic"),
        (lambda samples: [s._replace(value=float("nan")) for s in samples], "finite"),
        (lambda samples: [s._replace(value=500.0) for s in samples], "not within"),
    ],
)
def test_samples_that_cannot_be_true_are_found(
    change: Callable[[Sequence[Sample]], Sequence[Sample]], says: str
) -> None:
    sensor = Played()
    samples = poll(sensor)
    check_samples(sensor, samples)
    with pytest.raises(AssertionError, match=says):
        check_samples(sensor, change(samples))


def test_a_counter_that_goes_back_is_found() -> None:
    sensor = Played(quantity=COUNTER)
    samples = [s._replace(value=float(-i)) for i, s in enumerate(poll(sensor))]
    with pytest.raises(AssertionError, match="not within"):
        check_samples(sensor, samples)
