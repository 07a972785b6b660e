"""Conditions and inventory from built trees, and the choice of CPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from modnas_agent.board import conditions
from modnas_agent.board.placement import check_threads, choose_cpus
from modnas_agent.serving import inventory


def build(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def pi(tmp_path: Path) -> tuple[Path, Path]:
    """A Raspberry Pi's /sys and /proc."""
    cpu = "devices/system/cpu/cpu{}/cpufreq/{}"
    sysfs = {"devices/platform/soc/soc:firmware/get_throttled": "50005\n"}
    for index, current in enumerate((600000, 1500000)):
        sysfs[cpu.format(index, "scaling_governor")] = "ondemand\n"
        sysfs[cpu.format(index, "scaling_cur_freq")] = f"{current}\n"
        sysfs[cpu.format(index, "scaling_max_freq")] = "1500000\n"
    sysfs |= {
        "class/thermal/thermal_zone0/temp": "48312\n",
        "class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "class/thermal/thermal_zone1/temp": "-274000\n",
        "class/thermal/thermal_zone2/type": "no reading\n",
        "class/hwmon/hwmon0/name": "cpu_thermal\n",
        "class/powercap/intel-rapl:0/name": "package-0\n",
    }
    proc = {
        "loadavg": "0.52 0.31 0.20 1/180 900\n",
        "stat": "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 50 900 5 1 2 3 0 0\ncpu1 7 0 0 0 0 0 0 0 0 0\nintr 5\n",
        "cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
        "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4\n",
        "meminfo": "MemTotal:        3884092 kB\nMemFree: 5 kB\n",
        "device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    }
    return build(tmp_path / "sys", sysfs), build(tmp_path / "proc", proc)


def test_a_raspberry_pi_is_read(pi: tuple[Path, Path]) -> None:
    assert conditions.snapshot([0, 1], *pi) == {
        "load_average": 0.52,
        "governor": "ondemand",
        "frequency_mhz": 1050.0,
        "max_frequency_mhz": 1500.0,
        "temperature_c": 48.312,
        "throttle_flags": ["under_voltage", "throttled"],
        "throttle_count": None,
    }


def test_what_happened_before_is_not_what_holds_now(pi: tuple[Path, Path]) -> None:
    build(pi[0], {"devices/platform/soc/soc:firmware/get_throttled": "50000"})
    assert conditions.throttle_flags(pi[0]) == []


def test_an_empty_tree_gives_nulls_and_nothing_else(tmp_path: Path) -> None:
    assert set(conditions.snapshot([0], tmp_path, tmp_path).values()) == {None}
    assert conditions.busy_seconds([0], tmp_path) is None
    found = inventory.inventory(tmp_path, tmp_path)
    assert found["cpu"]["model"] is None and found["memory_mb"] is None and found["sensors"] == []


def test_unreadable_values_are_null(tmp_path: Path) -> None:
    build(tmp_path, {"loadavg": "soon\n", "class/thermal/thermal_zone0/temp": "hot\n"})
    assert conditions.load_average(tmp_path) is None
    assert conditions.temperature_c(tmp_path) is None


CPU = "devices/system/cpu/cpu0"
FIRMWARE = "devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("key", "file", "content", "value"),
    [
        ("temperature_c", "class/thermal/thermal_zone0/temp", "41850", 41.85),
        ("temperature_c", "class/thermal/thermal_zone0/temp", "-12000", -12.0),
        ("temperature_c", "class/thermal/thermal_zone0/temp", "-273150", None),
        ("temperature_c", "class/thermal/thermal_zone0/temp", "1000000000", None),
        ("temperature_c", "class/thermal/thermal_zone0/temp", "45", None),  # in degrees
        ("temperature_c", "class/thermal/thermal_zone0/temp", "0", None),  # switched off
        ("frequency_mhz", f"{CPU}/cpufreq/scaling_cur_freq", "1800000", 1800.0),
        ("frequency_mhz", f"{CPU}/cpufreq/scaling_cur_freq", "0", None),
        ("frequency_mhz", f"{CPU}/cpufreq/scaling_cur_freq", "-1", None),
        ("frequency_mhz", f"{CPU}/cpufreq/scaling_cur_freq", "1800", None),  # in MHz
        ("frequency_mhz", f"{CPU}/cpufreq/scaling_cur_freq", "1800000000", None),  # in Hz
        ("max_frequency_mhz", f"{CPU}/cpufreq/scaling_max_freq", "4294967295", None),
        ("throttle_count", f"{CPU}/thermal_throttle/core_throttle_count", "-3", None),
        ("throttle_flags", FIRMWARE, "0", []),
        ("throttle_flags", FIRMWARE, "-1", None),
        ("throttle_flags", FIRMWARE, "ffffffff", None),
    ],
)
def test_what_cannot_be_true_is_absent(
    tmp_path: Path, key: str, file: str, content: str, value: object
) -> None:
    found = conditions.snapshot([0], build(tmp_path, {file: content + "\n"}), tmp_path)
    assert found[key] == value
    assert all(other is None for name, other in found.items() if name != key)


@pytest.mark.parametrize("text", ["nan 0 0", "-0.5 0 0", "inf 0 0", " ", "1,5 0 0"])
def test_a_load_that_is_none(tmp_path: Path, text: str) -> None:
    assert conditions.load_average(build(tmp_path, {"loadavg": f"{text} 1/180 900\n"})) is None


def test_a_zone_that_is_absurd_hides_no_other(tmp_path: Path) -> None:
    zones = {
        f"class/thermal/thermal_zone{n}/temp": text for n, text in enumerate(("199999000", "52000", "0"))
    }
    assert conditions.temperature_c(build(tmp_path, zones)) == 52.0


@pytest.mark.parametrize(
    ("before_s", "after_s", "own_s"),
    [
        (12.0, 10.0, 0.0),
        (10.0, 1e9, 1.0),
        (10.0, 13.0, 0.0),
    ],  # went back; far too much; more than the CPU has
)
def test_a_competing_load_that_cannot_be_is_none(before_s: float, after_s: float, own_s: float) -> None:
    assert conditions.competing_load(before_s, after_s, own_s, 2.0, 1) is None


def test_busy_time_that_is_no_time_is_none(tmp_path: Path) -> None:
    build(tmp_path, {"stat": "cpu0 100 0 x 900 5 1 2 3 0 0\n"})
    assert conditions.busy_seconds([0], tmp_path) is None


def test_x86_throttle_events_are_summed(tmp_path: Path) -> None:
    file = "devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    build(tmp_path, {file.format(0): "3", file.format(1): "4", file.format(2): "100"})
    assert conditions.throttle_count([0, 1], tmp_path) == 7


def test_busy_time_counts_everything_but_idle(pi: tuple[Path, Path]) -> None:
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert conditions.busy_seconds([0], pi[1]) == pytest.approx(156 * tick_s)
    assert conditions.busy_seconds([0, 1], pi[1]) == pytest.approx(163 * tick_s)
    assert conditions.busy_seconds([0, 7], pi[1]) is None


def test_competing_load_is_what_is_not_ours() -> None:
    assert conditions.competing_load(10.0, 12.0, 1.5, 2.0, 1) == pytest.approx(0.25)
    assert conditions.competing_load(10.0, 14.0, 2.0, 2.0, 2) == pytest.approx(0.5)
    assert conditions.competing_load(10.0, 12.02, 2.0, 2.0, 1) == 0.0, "within the resolution of ticks"
    assert conditions.competing_load(None, 12.0, 2.0, 2.0, 1) is None


def test_the_inventory_of_a_raspberry_pi(pi: tuple[Path, Path]) -> None:
    found = inventory.inventory(*pi)
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == {"model": "0x41:0xd08", "logical": 2, "physical": None}
    assert found["memory_mb"] == 3793
    assert found["sensors"] == [
        "thermal:thermal_zone0:cpu-thermal",
        "hwmon:hwmon0:cpu_thermal",
        "powercap:intel-rapl:0:package-0",
    ]
    assert not {"hostname", "node", "user"} & set(found)


def test_the_distribution_is_named(tmp_path: Path) -> None:
    build(tmp_path, {"os-release": 'NAME="Debian"\nID=debian\nVERSION_ID="12"\n'})
    assert inventory.distribution(tmp_path / "os-release") == "debian 12"
    assert inventory.distribution(tmp_path / "absent") is None


def test_cpus_are_chosen_from_the_top() -> None:
    assert choose_cpus("auto", 2, [0, 1, 2, 3]) == [2, 3]
    assert choose_cpus("auto", 9, [0, 4]) == [0, 4]
    assert choose_cpus([1, 0, 1], 2, [0, 1]) == [0, 1]
    assert choose_cpus(None, 2, [0, 1]) is None
    with pytest.raises(ValueError, match="7"):
        choose_cpus([7], 1, [0, 1])


def test_threads_do_not_crowd_where_cpus_were_taken_away() -> None:
    for affinity in ("auto", None):
        with pytest.raises(ValueError, match="4 threads would share CPUs"):
            check_threads(affinity, 4, [0, 1], 8)
        check_threads(affinity, 4, [0, 1], 2)
        check_threads(affinity, 4, [0, 1, 2, 3], 8)
    check_threads([0, 1], 4, [0, 1], 8)


def test_kills_of_the_kernel_are_counted(tmp_path: Path) -> None:
    build(tmp_path, {"vmstat": "nr_free_pages 7\noom_kill 3\n"})
    assert conditions.memory_kills(tmp_path) == 3
    assert conditions.memory_kills(tmp_path / "absent") is None
