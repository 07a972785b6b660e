"""Each power sensor on a built sysfs tree or recorded output."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modnas_agent.energy.sensors import SensorError, find_sensor, found_sensors, nvml
from modnas_agent.energy.sensors.base import COUNTER, POWER, run_command
from modnas_agent.energy.sensors.battery import Battery
from modnas_agent.energy.sensors.ina2xx import Ina2xx
from modnas_agent.energy.sensors.jetson import Jetson
from modnas_agent.energy.sensors.meter import Meter
from modnas_agent.energy.sensors.nvml import Nvml
from modnas_agent.energy.sensors.pmic import Pmic
from modnas_agent.energy.sensors.rapl import Rapl

#: What a Raspberry Pi 5 answers; the sum over its rails was worked out by hand from these numbers.
PMIC_OUTPUT = """\
 3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.20000000A
  VDD_CORE_A current(7)=1.50000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
"""
PMIC_POWER_W = 0.1 * 3.7 + 0.2 * 3.3 + 1.5 * 0.8


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def rapl_domain(root: Path, entry: str, name: str, energy_uj: int = 0, range_uj: int = 10**9) -> Path:
    folder = root / "class" / "powercap" / entry
    return write(folder, name=name, energy_uj=energy_uj, max_energy_range_uj=range_uj)


def hwmon(root: Path, entry: str, **files: object) -> Path:
    return write(root / "class" / "hwmon" / entry, **files)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom file permissions concern."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_root() -> Iterator[Path]:
    """A folder that other users may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_rapl_adds_packages_but_nothing_twice(tmp_path: Path) -> None:
    packages = [rapl_domain(tmp_path, f"intel-rapl:{n}", f"package-{n}") for n in (0, 1)]
    others = [
        rapl_domain(tmp_path, "intel-rapl:0:0", "core"),
        rapl_domain(tmp_path, "intel-rapl:0:1", "dram"),
        rapl_domain(tmp_path, "intel-rapl:2", "psys"),
        rapl_domain(tmp_path, "intel-rapl-mmio:0", "package-0"),
    ]
    sensor = Rapl(tmp_path)
    assert sensor.name == "rapl:package-0+package-1" and sensor.quantity == COUNTER
    write(packages[0], energy_uj=3_000_000)
    write(packages[1], energy_uj=500_000)
    for folder in others:
        write(folder, energy_uj=7_000_000)
    assert sensor.read() == 3.5


def test_rapl_measures_the_domain_that_is_named(tmp_path: Path) -> None:
    for number, name in enumerate(("package-0", "package-1", "psys")):
        rapl_domain(tmp_path, f"intel-rapl:{number}", name)
    one, whole = Rapl(tmp_path, domain="package-1"), Rapl(tmp_path, domain="psys")
    write(tmp_path / "class/powercap/intel-rapl:1", energy_uj=1_000_000)
    write(tmp_path / "class/powercap/intel-rapl:2", energy_uj=9_000_000)
    assert (one.read(), whole.read()) == (1.0, 9.0)
    with pytest.raises(SensorError, match=r"no domain core .*package-0, package-1, psys"):
        Rapl(tmp_path, domain="core")


@settings(max_examples=25)
@given(
    steps=st.lists(st.integers(0, 999_999), min_size=1, max_size=20),
    start=st.integers(0, 999_999),
)
def test_rapl_counts_on_over_any_number_of_wraps(steps: list[int], start: int) -> None:
    range_uj = 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        domain = rapl_domain(Path(folder), "intel-rapl:0", "package-0", start, range_uj)
        sensor = Rapl(Path(folder))
        total = start
        for step in steps:
            total += step
            write(domain, energy_uj=total % range_uj)
            assert sensor.read() == pytest.approx((total - start) / 1e6)


def test_rapl_without_permission_says_the_mend(public_root: Path) -> None:
    domain = rapl_domain(public_root, "intel-rapl:0", "package-0")
    (domain / "energy_uj").chmod(0o400)
    if os.geteuid() != 0:
        (domain / "energy_uj").chmod(0)
    with unprivileged(), pytest.raises(SensorError, match=r"no permission to read .*energy_uj; .*chmod a\+r"):
        Rapl(public_root)


def test_rapl_that_disappears_is_an_error(tmp_path: Path) -> None:
    domain = rapl_domain(tmp_path, "intel-rapl:0", "package-0")
    sensor = Rapl(tmp_path)
    shutil.rmtree(domain)
    with pytest.raises(SensorError, match="cannot read"):
        sensor.poll()


class FakeNvml:
    """The part of pynvml that is used, for one GPU."""

    class NVMLError(Exception):
        pass

    def __init__(self, energy_mj: int | None, power_mw: int | None) -> None:
        self.energy_mj, self.power_mw = energy_mj, power_mw

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 0:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, _gpu: int) -> int:  # noqa: N802
        return self._tell(self.energy_mj)

    def nvmlDeviceGetPowerUsage(self, _gpu: int) -> int:  # noqa: N802
        return self._tell(self.power_mw)

    def _tell(self, value: int | None) -> int:
        if value is None:
            raise self.NVMLError("Not Supported")
        return value


def test_nvml_counts_where_it_can_and_samples_where_it_must() -> None:
    counting = Nvml(library=FakeNvml(energy_mj=1_500, power_mw=70_000))
    assert (counting.quantity, counting.read()) == (COUNTER, 1.5)
    sampling = Nvml(library=FakeNvml(energy_mj=None, power_mw=70_000))
    assert (sampling.quantity, sampling.read()) == (POWER, 70.0)
    assert sampling.lag_s == 1.0, "the driver averages over a second"
    assert counting.poll_s < counting.period_s


def test_nvml_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="GPU 3: Invalid Argument"):
        Nvml(index=3, library=FakeNvml(1, 1))
    with pytest.raises(SensorError, match="no NVIDIA driver"):
        nvml.find(tmp_path)
    gpu = FakeNvml(energy_mj=None, power_mw=1)
    sensor = Nvml(library=gpu)
    gpu.power_mw = None  # fell off the bus
    with pytest.raises(SensorError, match="power cannot be read"):
        sensor.poll()


def test_ina226_reads_power_or_the_product(tmp_path: Path) -> None:
    chip = hwmon(tmp_path, "hwmon1", name="ina226", power1_input=2_500_000, update_interval=140)
    hwmon(tmp_path, "hwmon0", name="coretemp", power1_input=9)
    sensor = Ina2xx(tmp_path)
    assert (sensor.name, sensor.read(), sensor.period_s) == ("ina226:hwmon1", 2.5, 0.14)
    (chip / "power1_input").unlink()
    write(chip, in0_input=3, in1_input=5_000, curr1_input=700)
    assert Ina2xx(tmp_path).read() == pytest.approx(3.5)


def test_ina_chips_are_not_added_but_chosen(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="no INA2xx"):
        Ina2xx(tmp_path)
    hwmon(tmp_path, "hwmon1", name="ina219", power1_input=1_000_000)
    hwmon(tmp_path, "hwmon2", name="ina260", power1_input=4_000_000)
    with pytest.raises(SensorError, match="hwmon1, hwmon2"):
        Ina2xx(tmp_path)
    assert Ina2xx(tmp_path, chip="hwmon2").read() == 4.0
    with pytest.raises(SensorError, match="hwmon7"):
        Ina2xx(tmp_path, chip="hwmon7")


def jetson(root: Path, *labels: str) -> Path:
    files: dict[str, object] = {"name": "ina3221"}
    for channel, label in enumerate(labels, start=1):
        files |= {
            f"in{channel}_label": label,
            f"in{channel}_input": 5_000,
            f"curr{channel}_input": 1_000 * channel,
        }
    return hwmon(root, "hwmon4", **files)


def test_jetson_reads_the_input_and_not_the_sum(tmp_path: Path) -> None:
    chip = jetson(tmp_path, "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
    sensor = Jetson(tmp_path)
    assert (sensor.name, sensor.read()) == ("ina3221:VDD_IN", 5.0)
    (chip / "curr1_input").unlink()
    with pytest.raises(SensorError, match="curr1_input"):
        sensor.poll()


def test_jetson_without_an_input_rail_wants_one_named(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="no INA3221"):
        Jetson(tmp_path)
    jetson(tmp_path, "GPU", "CPU", "SOC")
    with pytest.raises(SensorError, match=r"no rail of the total input \(it has CPU, GPU, SOC\)"):
        Jetson(tmp_path)
    assert Jetson(tmp_path, rail="CPU").read() == 10.0
    with pytest.raises(SensorError, match="no rail DLA"):
        Jetson(tmp_path, rail="DLA")


def test_jetson_of_older_systems(tmp_path: Path) -> None:
    device = tmp_path / "bus" / "iio" / "devices" / "iio:device0"
    write(
        device, rail_name_0="POM_5V_IN", in_power0_input=2_345, rail_name_1="POM_5V_GPU", in_power1_input=999
    )
    assert Jetson(tmp_path).read() == pytest.approx(2.345)


def answering(output: str) -> Any:
    def run(_command: Sequence[str]) -> str:
        return output

    return run


def test_pmic_sums_volts_times_amperes() -> None:
    assert Pmic(answering(PMIC_OUTPUT)).read() == pytest.approx(PMIC_POWER_W)


def test_pmic_with_a_missing_rail_gives_nothing() -> None:
    without = "\n".join(line for line in PMIC_OUTPUT.splitlines() if "VDD_CORE_V" not in line)
    with pytest.raises(SensorError, match="no voltage of VDD_CORE"):
        Pmic(answering(without))
    with pytest.raises(SensorError, match="Raspberry Pi 5"):
        Pmic(answering('error=1 error_msg="Command not registered"\n'))


def test_commands_that_fail_are_errors() -> None:
    with pytest.raises(SensorError, match="no command vcgencmd-of-nobody"):
        run_command(["vcgencmd-of-nobody"])
    with pytest.raises(SensorError, match="exit code 3: it says why"):
        run_command(["sh", "-c", "echo it says why >&2; exit 3"])
    assert run_command(["echo", "hello"]) == "hello\n"


def battery(root: Path, **files: object) -> Path:
    return write(root / "class" / "power_supply" / "battery", type="Battery", **files)


def test_battery_from_sysfs(tmp_path: Path) -> None:
    write(tmp_path / "class/power_supply/mouse", type="Battery", scope="Device", status="Discharging")
    folder = battery(tmp_path, status="Discharging", current_now=-400_000, voltage_now=4_000_000)
    sensor = Battery(tmp_path, answering("{}"))
    assert (sensor.name, sensor.read()) == ("battery:battery", pytest.approx(1.6))
    assert Battery(tmp_path, current_unit="mA").read() == pytest.approx(1600.0)
    write(folder, power_now=2_000_000)
    assert sensor.read() == 2.0
    write(folder, status="Charging")
    with pytest.raises(SensorError, match="not discharging"):
        sensor.poll()


def test_battery_from_termux(tmp_path: Path) -> None:
    status = '{"plugged": "UNPLUGGED", "status": "%s", "current": -250000, "voltage": 3900%s}'
    sensor = Battery(tmp_path, answering(status % ("DISCHARGING", "")))
    assert (sensor.name, sensor.read()) == ("battery:termux", pytest.approx(0.975))
    for answer, says in [
        (status % ("CHARGING", ""), "not discharging"),
        ('{"status": "DISCHARGING", "current": 1}', "no voltage"),
        ("[]", "JSON object"),
        ("", "JSON object"),
    ]:
        with pytest.raises(SensorError, match=says):
            Battery(tmp_path, answering(answer))


def meter_file(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "meter.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.exclusive
def test_meter_gives_the_rows_that_come_after_it_was_opened(tmp_path: Path) -> None:
    now = time.time()
    path = meter_file(tmp_path, "time,power_w", f"{now - 0.2},9", f"{now - 0.1},9")
    meter = Meter(str(path))
    assert meter.period_s == pytest.approx(0.1, rel=1e-3)
    assert meter.poll() == []
    append(path, f"{now},1.5\n{now + 0.1},2")
    samples = meter.poll()
    assert [sample.value for sample in samples] == [1.5], "a row without its end is not a row yet"
    assert samples[0].time_s == pytest.approx(time.monotonic() - (time.time() - now), abs=0.01)
    append(path, ".5\n")
    assert [sample.value for sample in meter.poll()] == [2.5]


@pytest.mark.exclusive
def test_meter_knows_other_columns_clocks_and_dates(tmp_path: Path) -> None:
    start = time.time()
    moments = [datetime.fromtimestamp(start + n, timezone.utc).isoformat() for n in range(3)]
    path = meter_file(
        tmp_path,
        "no, Time ,voltage_v,current_a",
        f"1,{moments[0].replace('+00:00', 'Z')},5,1",
        f"2,{moments[1]},5,1",
    )
    meter = Meter(str(path), clock_offset_s=100.0)
    append(path, f"3,{moments[2]},5,0.5\n")
    (sample,) = meter.poll()
    assert sample.value == 2.5
    assert sample.time_s == pytest.approx(time.monotonic() + (start - time.time()) + 2 + 100, abs=0.01)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("power,when\n1,2\n", "columns time and power_w"),
        ("time,power_w\n1,2\n", "two rows"),
        ("time,power_w\n1,2\n2,two\n", "not a reading"),
        ("time,power_w\n1,2\n2,nan\n", "not finite"),
        ("time,power_w\n2026-01-01T00:00:00,2\n2026-01-01T00:00:01,2\n", "not a reading"),
    ],
)
def test_meter_with_a_useless_log_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "meter.csv").write_text(content)
    with pytest.raises(SensorError, match=says):
        Meter(str(tmp_path / "meter.csv"))


def test_meter_whose_log_goes_wrong_is_an_error(tmp_path: Path) -> None:
    path = meter_file(tmp_path, "time,power_w", "1,1", "2,1", "3,1")
    meter = Meter(str(path))
    append(path, "2.5,1\n")
    with pytest.raises(SensorError, match="goes back"):
        meter.poll()
    path.write_text("")
    with pytest.raises(SensorError, match="shorter"):
        meter.poll()
    path.unlink()
    with pytest.raises(SensorError, match="gone"):
        meter.poll()
    with pytest.raises(SensorError, match="cannot be read"):
        Meter(str(path))


def test_meter_opens_a_long_log_at_its_end(tmp_path: Path) -> None:
    path = meter_file(tmp_path, "time,power_w", *(f"{n / 100:.2f},{n}" for n in range(20_000)))
    meter = Meter(str(path))
    assert meter.period_s == pytest.approx(0.01)
    append(path, "200.5,7\n")
    assert [sample.value for sample in meter.poll()] == [7.0]


def test_auto_takes_the_most_direct_sensor_of_what_computes(tmp_path: Path) -> None:
    options = {"sysfs_root": str(tmp_path)}
    with pytest.raises(SensorError, match=r"no power sensor found \(rapl: .*; battery: "):
        find_sensor("auto", options, on_gpu=False)
    with pytest.raises(SensorError, match=r"no power sensor found \(nvml: "):
        find_sensor("auto", options, on_gpu=True)
    jetson(tmp_path, "VDD_IN")
    hwmon(tmp_path, "hwmon5", name="ina219", power1_input=1)
    assert find_sensor("auto", options, on_gpu=False).name == "ina3221:VDD_IN"
    assert find_sensor("auto", options, on_gpu=True).name == "ina3221:VDD_IN"
    rapl_domain(tmp_path, "intel-rapl:0", "package-0")
    assert find_sensor("auto", options, on_gpu=False).name == "rapl:package-0"
    assert find_sensor("ina2xx", options, on_gpu=False).name == "ina219:hwmon5"
    assert found_sensors(tmp_path) == ["rapl:package-0", "ina3221:VDD_IN", "ina219:hwmon5"]


def test_unknown_sensors_and_options_are_refused() -> None:
    with pytest.raises(SensorError, match="no sensor 'abacus'"):
        find_sensor("abacus", {}, on_gpu=False)
    with pytest.raises(SensorError, match=r"sensor pmic: .*rail"):
        find_sensor("pmic", {"rail": "x"}, on_gpu=False)
