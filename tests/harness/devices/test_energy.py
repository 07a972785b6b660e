"""Energy from a profile to the store, the command line and training sets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness_helpers import TINY, FakeAgent, MakeRow, OpenWith

from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets.training_sets import device_features, device_values
from harness.devices.energy import EnergyModel
from harness.devices.power import PowerSensor
from harness.devices.profile import DeviceProfile, ProfileError, load_profile
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Store
from harness.store.metrics import ENERGY as ENERGY_METRIC
from modnas.spaces import Space

RAPL = {"sensor": "rapl:package-0", "reason": None}
NONE = {"sensor": None, "reason": "no power sensor found (rapl: none)"}
ENERGY = {"net_mj": 3.0, "gross_mj": 5.0, "idle_w": 2.0, "sensor": "rapl:package-0", "n": 100}
PROFILE = DeviceProfile(name="cpu")


class Agents:
    """Opens fake agents that all have one sensor, and keeps them."""

    def __init__(self) -> None:
        self.sensor: dict[str, Any] = RAPL
        self.energy: dict[str, Any] = ENERGY
        self.opened: list[FakeAgent] = []

    def __call__(self, _profile: Any) -> FakeAgent:
        agent = FakeAgent()
        agent.sensor, agent.energy = self.sensor, self.energy
        self.opened.append(agent)
        return agent

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """Frames of one operation that the newest agent got."""
        return [frame for frame in self.opened[-1].requests if frame["op"] == operation]


@pytest.fixture
def agents(open_with: OpenWith) -> Agents:
    opener = Agents()
    open_with(opener)
    return opener


def profile(space: Space, count: int = 2, device: DeviceProfile = PROFILE, **options: Any) -> ProfileReport:
    with Store() as store:
        return profile_device(device, space, space.references[:count], store, **options)


def test_energy_is_measured_only_when_asked_for(space: Space, agents: Agents) -> None:
    report = profile(space)
    assert not agents.asked("sensor") and all("energy" not in frame for frame in agents.asked("measure"))
    assert [row.energy_mj for row in report.rows] == [None, None] and report.energy_note is None


def test_net_energy_goes_to_the_column_and_the_rest_to_the_record(space: Space, agents: Agents) -> None:
    report = profile(space, metrics=(ENERGY_METRIC,))
    assert [row.energy_mj for row in report.rows] == [3.0, 3.0]
    assert report.rows[0].record["energy"] == ENERGY
    assert report.energy_note == "energy of 2 of 2 with rapl:package-0, net of idle power"
    asked = agents.asked("measure")[0]["energy"]
    assert asked == {"sensor": "auto", "options": {}, "window_s": 2.0, "max_window_s": 30.0}


def test_rows_without_energy_do_not_answer_where_there_is_a_sensor(space: Space, agents: Agents) -> None:
    before = profile(space)
    assert profile(space, metrics=(ENERGY_METRIC,)).measured == 2
    again = profile(space, 3, metrics=(ENERGY_METRIC,))
    assert (again.measured, again.reused) == (1, 2)
    plain = profile(space, 3)
    assert (plain.measured, plain.reused) == (0, 3), "an energy does no harm to who asks for a latency"
    assert [row.key for row in plain.rows[:2]] == [row.key for row in before.rows]
    agents.sensor = {"sensor": "csv:meter.csv", "reason": None}
    assert profile(space, metrics=(ENERGY_METRIC,)).measured == 2, "another sensor measures something else"


def test_without_a_sensor_stored_latencies_answer_and_the_reason_is_told(
    space: Space, agents: Agents
) -> None:
    agents.sensor = NONE
    profile(space)
    report = profile(space, 3, metrics=(ENERGY_METRIC,))
    assert (report.measured, report.reused) == (1, 2)
    assert all("energy" not in frame for frame in agents.asked("measure"))
    assert report.energy_note == "energy is absent: no power sensor found (rapl: none)"


def test_a_profile_may_refuse_energy(space: Space, agents: Agents) -> None:
    report = profile(
        space,
        device=DeviceProfile(name="cpu", power_sensor=PowerSensor(name="none")),
        metrics=(ENERGY_METRIC,),
    )
    assert not agents.asked("sensor")
    assert report.energy_note == "energy is absent: the profile of cpu has power_sensor: none"


def test_an_energy_that_failed_is_absent_and_tried_again(space: Space, agents: Agents) -> None:
    agents.energy = {"sensor": "rapl:package-0", "reason": "window too short: 3 updates"}
    report = profile(space, metrics=(ENERGY_METRIC,))
    assert [row.energy_mj for row in report.rows] == [None, None]
    assert all(row.status == "ok" and row.latency_ms for row in report.rows)
    assert report.energy_note == "energy is absent: window too short: 3 updates"
    agents.energy = ENERGY
    assert profile(space, metrics=(ENERGY_METRIC,)).measured == 2


def test_profile_files_name_sensors_with_their_options(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    meter = "power_sensor: {name: csv, path: /logs/meter.csv, clock_offset_s: 0.25, max_window_s: 60.0}"
    path.write_text(f"name: board\ntdp_w: 15.0\n{meter}\n")
    asked = load_profile(path).power_sensor.request()
    options = {"path": "/logs/meter.csv", "clock_offset_s": 0.25}
    assert asked == {"sensor": "csv", "options": options, "window_s": 2.0, "max_window_s": 60.0}
    path.write_text("name: board\npower_sensor: {name: battery, supply: BAT1, max_w: 90.0}\n")
    assert load_profile(path).power_sensor.request()["options"] == {"supply": "BAT1", "max_w": 90.0}
    path.write_text("name: board\npower_sensor: none\n")
    assert load_profile(path).power_sensor.name == "none"
    for wrong, field in [
        ("power_sensor: abacus", "power_sensor.name"),
        ("power_sensor: {name: abacus}", "power_sensor.name"),
        ("power_sensor: {volts: 5}", "power_sensor.volts"),
        ("power_sensor: {name: rapl, max_w: 0.0}", "power_sensor.max_w"),
        ("tdp_w: 0.0", "tdp_w"),
    ]:
        path.write_text(f"name: board\n{wrong}\n")
        with pytest.raises(ProfileError, match=f"field {re.escape(field)}:"):
            load_profile(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[Any, str]:
    """JSON document and what was said, of a command that ends with `code`."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if code == 0 else None, err


COMMAND = ("profile", "--device", "cpu", "--archs", "2", *TINY)


def test_command_line_gives_energy(agents: Agents, capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = run(capsys, *COMMAND)
    assert all("memory_mb" in one and "energy_mj" not in one for one in plain["measurements"])
    found, said = run(capsys, *COMMAND, "--metrics", "latency,energy")
    for one in found["measurements"]:
        assert one["energy_mj"] == 3.0 and one["energy"]["gross_mj"] == 5.0 and "memory_mb" not in one
    assert found["energy"]["sensor"] == "rapl:package-0"
    assert "cpu: energy of 2 of 2 with rapl:package-0, net of idle power" in said.splitlines()
    agents.sensor = NONE
    assert main([*COMMAND, "--seed", "7", "--metrics", "energy"]) == 0
    said = capsys.readouterr().err
    assert "cpu: energy is absent: no power sensor found (rapl: none)" in said.splitlines()
    assert "energy mJ" in said


@pytest.mark.usefixtures("agents")
def test_unknown_metrics_and_models_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in [
        (("--metrics", "latency,colour"), "no metric 'colour'; known: latency, energy, peak_memory"),
        (("--metrics", ","), "no metric; known"),
        (("--energy-model", "tdp"), "give --tdp-w WATTS or tdp_w in its profile"),
        (("--energy-model", "oracle", "--tdp-w", "3"), "no energy model 'oracle'"),
    ]:
        _, said = run(capsys, *COMMAND, *arguments, code=2)
        assert says in said


def test_a_modelled_energy_is_marked_and_never_stored(
    agents: Agents, capsys: pytest.CaptureFixture[str]
) -> None:
    agents.sensor = NONE
    arguments = (*COMMAND, "--metrics", "latency,energy", "--energy-model", "tdp", "--tdp-w", "15")
    found, _ = run(capsys, *arguments)
    assert found["energy_model"] == {"name": "tdp", "tdp_w": 15.0}
    for one in found["measurements"]:
        assert one["energy_mj_modelled"] == pytest.approx(15.0 * one["latency_ms"]["median"])
        assert "energy_mj" not in one
    assert main(list(arguments)) == 0
    assert "modelled mJ (TDP 15 W)" in capsys.readouterr().err
    with Store() as store:
        rows = store.device_measurements("cpu", "nasbench201", found["variant"])
    assert rows and all(row.energy_mj is None for row in rows)


def test_the_model_takes_the_profiles_design_power(make_row: MakeRow) -> None:
    device = DeviceProfile(name="cpu", tdp_w=10.0)
    assert EnergyModel.named("tdp", device, None).energy_mj(make_row(value=2.0)) == 20.0
    assert EnergyModel.named("tdp", device, 5.0).energy_mj(make_row(value=2.0)) == 10.0
    assert EnergyModel.named("tdp", device, None).energy_mj(make_row(status="error", latency_ms=None)) is None
    with pytest.raises(UsageError, match="thermal design power of cpu is not known"):
        EnergyModel.named("tdp", PROFILE, None)


@pytest.mark.parametrize("watts", [float("nan"), float("inf"), -5.0, 0.0, 1e6])
def test_a_power_no_chip_has_is_no_model(watts: float) -> None:
    with pytest.raises(UsageError, match=r"is no thermal design power of a chip .*tdp_w of cpu"):
        EnergyModel.named("tdp", PROFILE, watts)


@pytest.mark.usefixtures("agents")
def test_the_command_line_refuses_such_a_power(capsys: pytest.CaptureFixture[str]) -> None:
    for watts, says in [
        ("nan", "--tdp-w"),
        ("inf", "is no thermal design power"),
        ("1e9", "(0.001 to 5000 W)"),
    ]:
        _, said = run(capsys, *COMMAND, "--energy-model", "tdp", "--tdp-w", watts, code=2)
        assert says in said and "Traceback" not in said


def test_the_sensors_reason_reaches_the_person(agents: Agents, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "the counter was reset: it went back, and a wrap of its range would mean about 5.2e+06 W"
    agents.energy = {"sensor": "rapl:package-0", "quantity": "counter", "reason": reason}
    _, said = run(capsys, *COMMAND, "--metrics", "latency,energy")
    assert f"cpu: energy is absent: {reason}" in said.splitlines()


def test_features_and_training_sets_of_energy(
    agents: Agents, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found, _ = run(capsys, "features", "--device", "cpu", "--metric", "energy", *TINY)
    assert found["energy_mj"] == [3.0] * 10 and len(found["vector"]) == 10
    out = ("--out", str(tmp_path / "energy.npz"))
    built, _ = run(capsys, "dataset", "build", "--metric", "energy", *TINY, *out)
    assert built["metric"] == "energy"
    assert built["devices"] == [{"device": "cpu", "architectures": 10, "min": 3.0, "max": 3.0}]
    agents.sensor = NONE
    _, said = run(capsys, "features", "--device", "cpu@2", "--metric", "energy", *TINY, code=1)
    assert "10 of 10 reference architectures have no energy" in said


def test_energies_of_different_sensors_are_not_mixed(space: Space, make_row: MakeRow) -> None:
    sensors = ["csv:meter.csv"] * 3 + ["rapl:package-0"] * 2
    with Store() as store:
        for cell, sensor in zip(space.references, sensors, strict=False):
            store.add(make_row(cell, energy_mj=1.0, record={"energy": {"sensor": sensor}}))
        assert list(device_values(store, "cpu", space, "energy")) == list(space.references[3:5])
        assert len(device_values(store, "cpu", space, "latency")) == 5
        for cell in space.references:
            store.add(make_row(cell, energy_mj=2.0, record={"energy": {"sensor": "rapl:package-0"}}))
        assert device_features(store, "cpu", space, "energy").values == (2.0,) * 10


def test_devices_check_names_the_sensor(agents: Agents, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = run(capsys, "devices", "check", "cpu")
    assert found["energy"] == RAPL
    agents.sensor = NONE
    assert main(["devices", "check", "cpu"]) == 0
    assert "energy: no power sensor found (rapl: none)" in capsys.readouterr().err
