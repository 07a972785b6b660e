"""Backends of other packages: in profiles, in the agent's archive, on a board."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from modnas_agent.folder import MANIFEST, TREE, backend_part

from harness.agent.archive import archive_bytes, write_archive
from harness.backends import agent_modules, backend_names, get_backend, open_exporter
from harness.boards.board import install_command, install_hint
from harness.boards.runtime_install import runtime_prefix
from harness.cli import main
from harness.core.errors import UsageError
from harness.devices.backends import BACKENDS
from harness.devices.profile import DeviceProfile, ProfileError, load_profile
from harness.devices.registry import with_options
from harness.export import ArtifactCache
from modnas.core.registry import PluginError

CODE = '''
from typing import Annotated
from pydantic import Field
from harness.backends import Backend, BackendOptions

class Options(BackendOptions):
    speed: Annotated[int, Field(ge=1)] = 2
    quiet: bool = True

class Abacus(Backend):
    name = "abacus"
    options = Options
    agent_options = ("threads", "affinity", "speed")

    def agent_source(self):
        return b"""
DISTRIBUTIONS = ("no-such-package",)
def backend():
    import no_such_module
"""
'''


@pytest.fixture
def abacus(install_package: Callable[..., None]) -> None:
    """A backend without a runtime, offered by another package."""
    install_package("abacus-backend", "modnas_hw.backends", {"abacus": "Abacus"}, CODE)


@pytest.mark.usefixtures("abacus")
def test_a_profile_has_its_backends_options(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nbackend: abacus\noptions: {speed: 3, threads: 2}")
    profile = load_profile(path)
    assert profile.agent_options == {"threads": 2, "affinity": "auto", "speed": 3}
    again = DeviceProfile.model_validate(json.loads(profile.model_dump_json()))
    assert again == profile
    path.write_text("name: mine\nbackend: abacus\noptions: {speed: 0}")
    with pytest.raises(ProfileError, match=r"field options\.speed"):
        load_profile(path)
    path.write_text("name: mine\nbackend: onnxruntime\noptions: {speed: 3}")
    with pytest.raises(ProfileError, match=r"field options\.speed"):
        load_profile(path)


@pytest.mark.usefixtures("abacus")
def test_a_device_changes_to_it_and_back() -> None:
    profile = DeviceProfile.model_validate({"name": "mine", "options": {"threads": 2, "compile": True}})
    other = with_options(profile, "abacus", None, False)
    assert other.id == "mine+abacus" and other.agent_options == {"threads": 2, "affinity": "auto", "speed": 2}
    back = other.changed("torch")
    assert back.agent_options == {"threads": 2, "affinity": "auto", "compile": True}
    with pytest.raises(UsageError, match="per-op"):
        with_options(profile, "abacus", None, True)
    with pytest.raises(UsageError, match="quantize"):
        open_exporter(with_options(profile, "abacus", "int8", False), ArtifactCache())


def test_an_unknown_backend_lists_the_known_ones(abacus: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert backend_names() == [*BACKENDS.built_in, "abacus"]
    assert main(["profile", "--device", "cpu", "--backend", "slide-rule"]) == 2
    assert "onnxruntime, torch, tvm, abacus" in capsys.readouterr().err


def test_a_package_that_cannot_be_loaded_spoils_no_other(
    install_package: Callable[..., None], home_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_package("bad-backend", "modnas_hw.backends", {"bad": "Bad"}, "import no_such_module")
    install_package("odd-backend", "modnas_hw.backends", {"odd": "Odd"}, CODE.replace("Abacus", "Odd"))
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text("name: mine\nbackend: bad")
    assert main(["devices", "list", "--json"]) == 0
    told = {one["name"]: one["description"] for one in json.loads(capsys.readouterr().out)["devices"]}
    assert "bad-backend 1.2" in told["mine"] and "broken" not in told["cpu"]
    with pytest.raises(PluginError, match=r"odd-backend 1\.2"):
        get_backend("odd")  # its class has another name


def run(*arguments: str | Path) -> str:
    """What a Python with these arguments prints, and what it says when it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.usefixtures("abacus")
def test_the_agent_is_brought_with_its_module(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, agent_modules(DeviceProfile(name="mine", backend="abacus")))
    built_in = agent_modules(DeviceProfile(name="mine", backend="torch"))
    assert archive.read_bytes() != archive_bytes() == archive_bytes(built_in)
    greeting = json.loads(run(archive, "hello"))
    assert greeting["inventory"]["runtimes"]["abacus"] is None, "it is not installed, and was looked for"
    plain = json.loads(run(write_archive(tmp_path), "hello"))
    assert greeting["agent_version"] != plain["agent_version"]
    load = "from modnas_agent.backends import load_backend as load; load('abacus')"
    told = run("-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {load}")
    assert "UnavailableError" in told and "no_such_module" in told


def test_a_module_of_the_agents_own_is_not_replaced() -> None:
    assert archive_bytes({"modnas_agent/cli.py": b"import antigravity"}) == archive_bytes()


@pytest.mark.usefixtures("abacus")
def test_names_on_a_board_are_the_agents(tmp_path: Path) -> None:
    profile = DeviceProfile(name="board", backend="abacus")
    assert install_command(profile).endswith("--backend abacus")
    assert "not brought" in install_hint(profile), "no command brings it"
    assert install_command(profile.changed("onnxruntime")) in install_hint(profile.changed("onnxruntime"))
    assert runtime_prefix("tvm") == "runtime-tvm-" and runtime_prefix("abacus") == "runtime-backend-abacus-"
    assert TREE.fullmatch(f"{runtime_prefix('abacus')}0123456789ab")
    assert MANIFEST.fullmatch(f"install-{backend_part('abacus')}.json")
    assert not MANIFEST.fullmatch("install-abacus.json"), "that is somebody's"
    with pytest.raises(UsageError, match="not brought"):
        get_backend("abacus").runtime()
