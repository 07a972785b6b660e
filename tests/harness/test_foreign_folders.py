"""Folders of this machine in which other things lie: they are there afterwards, unchanged."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from harness.agent.archive import archive_bytes, write_archive
from harness.backends import Runtime, WheelFile
from harness.boards import wheels
from harness.boards.wheels import BoardPlatform, runtime_archive, runtime_file
from harness.cli import main
from harness.core.errors import DeviceUnavailableError, UsageError
from harness.core.home import subfolder
from harness.datasets.fetch import RECORD, fetch, sources
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.measure.session import DeviceSession
from harness.presets import get_preset
from harness.runs.front_export import _check_folder
from harness.runs.run import Run, RunConfig
from modnas.spaces import get_space

MAKEFILE = Path(__file__).parents[2] / "Makefile"
KEY = "0123456789abcdef" * 4
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage of the same size": lambda content: os.urandom(len(content)),
    "cut off": lambda content: content[:-9],
}


def contents(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


# The cache of networks.


def test_pruning_deletes_only_what_the_cache_wrote(tmp_path: Path) -> None:
    space, cache = (
        get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8)),
        ArtifactCache(tmp_path),
    )
    (tmp_path / "photos").mkdir()
    by_hash = (f"{KEY}.onnx", f"{KEY}.bin", f"{KEY}.onnx.bak")
    for name in ("photos/cat.jpg", "cat.jpg", "model.onnx", "x.tmp", *by_hash):
        (tmp_path / name).write_bytes(b"mine" * 1000)
    (tmp_path / f"f{KEY[1:]}.json").write_text('["no description"]')
    (tmp_path / f"e{KEY[1:]}.onnx").symlink_to("cat.jpg")
    (tmp_path / f"d{KEY[1:]}.onnx").mkdir()
    before = contents(tmp_path)
    made = [cache.get(space, cell, 1) for cell in space.references[:2]]
    (made[0].path).unlink()
    (made[0].path).symlink_to("photos/cat.jpg")
    assert cache.prune(0) == 1
    assert not made[1].path.exists() and made[0].path.is_symlink()
    assert before.items() <= contents(tmp_path).items()
    assert (tmp_path / f"d{KEY[1:]}.onnx").is_dir()


# The local agent.


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_archive_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_archive(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert write_archive(tmp_path) == path and path.read_bytes() == archive_bytes()


def test_the_local_agent_takes_no_folder_of_somebody_elses(home_folder: Path) -> None:
    (home_folder / "agent").mkdir(parents=True)
    for name in ("agent.log", "agent.lock", "agent.py"):
        (home_folder / "agent" / name).write_text("mine")
    before = contents(home_folder)
    with pytest.raises(DeviceUnavailableError, match=r"not the agent's .agent\.lock, agent\.log"):
        DeviceSession(DeviceProfile(name="cpu")).__enter__()
    assert contents(home_folder) == before


def test_its_log_follows_no_link(home_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    write_archive(home_folder / "agent")
    (home_folder / "agent/agent.log").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(DeviceUnavailableError, match=r"agent\.log cannot be written"):
        DeviceSession(DeviceProfile(name="cpu")).__enter__()
    assert (tmp_path / "thesis.tex").read_text() == "mine"


# Runs, exports, tables, profiles.


def test_a_folder_that_is_no_run_is_not_made_one(home_folder: Path) -> None:
    config = RunConfig(
        space="nasbench201",
        task="digits",
        devices=("cpu",),
        preset="quick",
        settings=get_preset("nasbench201", "quick"),
    )
    folder = subfolder("runs") / "mine"
    folder.mkdir()
    (folder / ".config.json.1-2.tmp").touch()  # what a kill left
    (folder / "report.html").write_text("mine")
    with pytest.raises(UsageError, match=r"no run's \(report\.html"):
        Run.start(config, "mine")
    assert not (folder / "config.json").exists()
    (folder / "report.html").unlink()
    assert Run.start(config, "mine").has("config.json")


@pytest.mark.parametrize("taken", ["1.onnx", "networks.json", "vocabulary.model"])
def test_an_export_replaces_only_an_earlier_one(tmp_path: Path, taken: str) -> None:
    of_the_task, networks = ["vocabulary.model"], ["1.onnx", "2.onnx"]
    (tmp_path / taken).write_text('{"networks": "mine"}')
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=f"has a file {taken} that is not of an earlier export"):
        _check_folder(tmp_path, of_the_task, networks)
    (tmp_path / "networks.json").write_text(json.dumps({"networks": [{"file": "1.onnx"}]}))
    _check_folder(tmp_path, of_the_task, networks)
    (tmp_path / "2.onnx").touch()
    with pytest.raises(UsageError, match=r"2\.onnx"):
        _check_folder(tmp_path, of_the_task, networks)


FIRST = sources()["ofa"]["files"][0]["path"]


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("latency.npz", b"mine"),
        (".hidden", b"mine"),
        (".sources/notes.txt", b"mine"),
        (f".sources/{FIRST}.bak", b"mine"),
        (RECORD, b'{"mine": 1}'),
        (RECORD, b"mine"),
        (f"{RECORD}.bak", b""),
    ],
)
def test_fetching_replaces_nothing(tmp_path: Path, place: str, content: bytes) -> None:
    path = tmp_path / sources()["ofa"]["folder"] / place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="holds files that were not fetched"):
        fetch("ofa", tmp_path, "http://127.0.0.1:9")
    assert contents(tmp_path) == {str(path.relative_to(tmp_path)): content}


def test_only_a_profile_is_removed_as_one(home_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = subfolder("devices") / "pi.yaml"
    folder.mkdir()
    (folder / "cat.jpg").write_text("mine")
    assert main(["devices", "remove", "pi"]) == 2
    assert "cannot be removed" in capsys.readouterr().err and (folder / "cat.jpg").exists()


# Wheels that were kept.


@pytest.mark.parametrize("noted", [True, False], ids=["hash noted", "of an earlier version"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_wheels_are_fetched_again(
    home_folder: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes], noted: bool
) -> None:
    fetched: list[str] = []

    def pip(_platform: BoardPlatform, verb: str, *arguments: str) -> None:
        fetched.append(verb)
        folder = Path(next(a for a in arguments if a.startswith(("--target=", "--dest="))).partition("=")[2])
        folder.mkdir(exist_ok=True)
        if verb == "install":
            (folder / "numpy.py").write_text("content = 1\n" * 999)
        else:
            with ZipFile(folder / "x.whl", "w") as wheel:
                wheel.writestr("lib/x.so", b"\x7fELF" * 999)

    monkeypatch.setattr(wheels, "_pip", pip)
    platform = BoardPlatform("x86_64", ("glibc", "2.36"), (3, 11, 2))
    runtime = Runtime("tvm", "TVM", ("numpy",), 1, (WheelFile("x", "lib/x.so"),))
    path, single = runtime_archive(platform, runtime), runtime_file(platform, runtime.files[0])
    sound = single.read_bytes()
    assert sorted(fetched) == ["download", "install"]
    runtime_archive(platform, runtime)
    runtime_file(platform, runtime.files[0])
    assert len(fetched) == 2, "kept"
    for one in (path, single):
        one.write_bytes(damage(one.read_bytes()))
        if not noted:
            one.with_name(f"{one.name}.sha256").unlink()
    runtime_archive(platform, runtime)
    assert gzip.decompress(path.read_bytes()) and "install" in fetched[2:]
    runtime_file(platform, runtime.files[0])
    if noted or not damage(b"0123456789"):
        assert single.read_bytes() == sound
    path.with_name(f"{path.name}.sha256").unlink()
    count = len(fetched)
    runtime_archive(platform, runtime)
    assert len(fetched) == count, "a sound one of an earlier version is used"


# The checkout.


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_clean_deletes_only_what_make_made(tmp_path: Path) -> None:
    checkout, mine = tmp_path / "checkout", tmp_path / "mine"
    for place in (
        "mine/venv/.installed",
        "mine/home/store.sqlite",
        "checkout/dist/notes.txt",
        "checkout/.coveragerc",
        "checkout/.demo/notes.txt",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("mine")
    shutil.copy(MAKEFILE, checkout / "Makefile")
    (checkout / ".venv").symlink_to(mine / "venv")
    before = contents(tmp_path)
    for place in ("dist/modnas_hw-1-py3-none-any.whl", ".coverage", ".coverage.host.1"):
        (checkout / place).touch()

    def clean() -> None:
        command = ["make", "clean", f"VENV={mine}/venv", f"DEMO_HOME={mine}/home"]
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)

    clean()
    assert contents(tmp_path) == before
    (checkout / ".venv").unlink()
    (checkout / ".venv").mkdir()
    for place in (".venv/.installed", ".demo/store.sqlite"):
        (checkout / place).touch()
    clean()
    assert not (checkout / ".venv").exists() and not (checkout / ".demo").exists()
