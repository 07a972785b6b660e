"""Power sensors of other packages: in profiles, in the agent's archive, read by an agent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.agent.archive import archive_bytes, write_archive
from harness.backends import agent_modules
from harness.cli import main
from harness.devices.power import SENSORS, PowerSensor
from harness.devices.profile import DeviceProfile, ProfileError, load_profile
from harness.measure.session import DeviceSession
from harness.testing import check_sensor

CODE = '''
"""A supply whose display somebody copies into a file."""

from modnas_agent.energy.sensors.base import Bounds, PolledSensor, SensorError

class Supply(PolledSensor):
    name = "supply"
    period_s = 0.05
    bounds = Bounds(100.0, "the supply gives no more")

    def __init__(self, sysfs_root, path, factor=1.0):
        self._path, self._factor = path, factor
        self.read()

    def read(self):
        try:
            with open(self._path) as file:
                return float(file.read()) * self._factor
        except (OSError, ValueError) as error:
            raise SensorError("the display cannot be read: " + str(error)) from error

sensor = Supply
unnamed = lambda sysfs_root: Supply(sysfs_root, "/")
'''


@pytest.fixture
def supply(install_package: Callable[..., None], tmp_path: Path) -> DeviceProfile:
    """A device with a sensor that another package offers."""
    install_package("own-supply", "modnas_hw.sensors", {"supply": "sensor", "odd": "unnamed"}, CODE)
    (tmp_path / "display").write_text("2.5")
    sensor = {"name": "supply", "path": str(tmp_path / "display"), "options": {"factor": 2.0}}
    return DeviceProfile.model_validate({"name": "mine", "power_sensor": sensor})


def test_it_is_brought_to_the_agent_which_reads_it(supply: DeviceProfile, tmp_path: Path) -> None:
    archive = write_archive(tmp_path, agent_modules(supply))
    assert archive.read_bytes() != archive_bytes() == archive_bytes(agent_modules(DeviceProfile(name="mine")))
    find = "from modnas_agent.energy.sensors import find_sensor as find, found_sensors as found"
    ask = f"s = find('supply', {supply.power_sensor.request()['options']!r}, False); print(s.poll()[0].value)"
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); {find}; {ask}; print('supply' in found())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["5.0", "False"], f"its path is no option of a greeting; {run.stderr}"
    with DeviceSession(supply) as session:
        answer = session.client.sensor(supply.power_sensor.request(), session.backend_options())
        assert answer["sensor"] == "supply"
        unknown = {**supply.power_sensor.request(), "sensor": "abacus"}
        assert "supply" in session.client.sensor(unknown, {})["reason"]


def test_it_conforms(supply: DeviceProfile) -> None:
    options = supply.power_sensor.model_dump(exclude={"name"}, exclude_none=True)
    check_sensor("supply", options=options)


def test_profiles_with_it(supply: DeviceProfile, tmp_path: Path) -> None:
    assert DeviceProfile.model_validate(json.loads(supply.model_dump_json())) == supply
    file = tmp_path / "mine.yaml"
    for wrong, says in (
        ("abacus", "auto, none, nvml, rapl, jetson, pmic, ina2xx, battery, csv, odd, supply"),
        ("odd", "own-supply 1.2"),
        ("{name: supply, options: {path: /tmp/x}}", "path"),
        ("{name: supply, options: {factor: [1]}}", "options"),
    ):
        file.write_text(f"name: mine\npower_sensor: {wrong}\n")
        with pytest.raises(ProfileError, match=says):
            load_profile(file)


def test_a_package_that_cannot_be_loaded_spoils_no_other(
    install_package: Callable[..., None], home_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_package("bad-sensor", "modnas_hw.sensors", {"bad": "sensor"}, "import no_such_module")
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text("name: mine\npower_sensor: bad")
    assert main(["devices", "list", "--json"]) == 0
    told = {one["name"]: one["description"] for one in json.loads(capsys.readouterr().out)["devices"]}
    assert "bad-sensor 1.2" in told["mine"] and "broken" not in told["cpu"]


def test_requests_of_built_in_sensors_are_what_they_were() -> None:
    assert PowerSensor().request() == {"sensor": "auto", "options": {}, "window_s": 2.0, "max_window_s": 30.0}
    assert SENSORS.built_in == ["nvml", "rapl", "jetson", "pmic", "ina2xx", "battery", "csv"]
