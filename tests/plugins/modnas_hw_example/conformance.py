"""What the package's own tests are: `pytest conformance.py` where it is installed."""

from __future__ import annotations

from pathlib import Path

from harness.testing import check_accuracy, check_backend, check_metric, check_sensor
from modnas.spaces import get_space
from modnas.testing import check_space, check_task


def test_space() -> None:
    check_space("stacks")


def test_task() -> None:
    check_task("stripes")


def test_backend() -> None:
    check_backend("reference", space=get_space("stacks"), options={"copy_inputs": True})


def test_metric() -> None:
    check_metric("throughput")


def test_sensor(tmp_path: Path) -> None:
    chip = tmp_path / "class" / "hwmon" / "hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("power_meter\n")
    (chip / "power1_average").write_text("213000000\n")
    check_sensor("acpi", options={"sysfs_root": str(tmp_path)})


def test_accuracy() -> None:
    check_accuracy("readout", space="stacks", task="stripes")
