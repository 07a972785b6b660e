"""An emulated aarch64 board: packages and libraries for another architecture, from bare to a device vector.

Its timings mean nothing and are not looked at; that it computes what PyTorch computes here does.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from boards_image import base_layer, share_wheels
from boards_namespace import QEMU_REGISTRATION, NamespaceBoard

from harness.backends import onnxruntime
from harness.cli import main
from harness.store import Measurement, Store
from modnas.spaces import get_space

TINY = ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
#: Importing the runtime under emulation takes most of a minute on a busy machine.
POLICY = {
    "precision": 0.5,
    "warmup_s": 0.01,
    "min_time_s": 0.01,
    "max_time_s": 0.05,
    "min_samples": 5,
    "timeout_s": 120.0,
    "memory_limit_mb": None,
}
Run = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder that all tests here share."""
    folder = tmp_path_factory.mktemp("home")
    share_wheels(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODNAS_HOME", str(folder))
        patch.delenv("MODNAS_STORE", raising=False)
        yield folder


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory, can_make_namespaces: None) -> Iterator[NamespaceBoard]:
    """A bare emulated board."""
    if not QEMU_REGISTRATION.exists():
        pytest.skip("emulated boards need qemu-user-static")
    try:
        base_layer("arm64")
    except RuntimeError as error:
        pytest.skip(f"no Debian for arm64 can be had here: {error}")
    board = NamespaceBoard(tmp_path_factory.mktemp("board"), with_runtime=False, emulated=True)
    yield board
    board.remove()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that has to succeed; what the user reads."""

    def command(*words: str) -> str:
        code = main(list(words))
        read = capsys.readouterr().err
        if code == 3 and "no wheels for" in read:
            pytest.skip(f"the board's packages are not to be had here: {read}")
        assert code == 0, read
        return read

    return command


def rows_of(device: str, count: int) -> list[Measurement]:
    """The stored rows, each of which is a network that gave on the board what PyTorch gives here."""
    with Store() as store:
        rows = store.device_measurements(device, SPACE.name, SPACE.variant)
    assert [row.status for row in rows] == ["ok"] * count
    for row in rows:
        assert row.max_abs_diff is not None and row.max_abs_diff < 1e-4
        assert row.request["inventory"]["machine"] == "aarch64"
    return rows


@pytest.mark.slow
def test_bare_aarch64_board_becomes_a_device_vector(home: Path, arm: NamespaceBoard, run: Run) -> None:
    reach = ["--identity-file", str(arm.client_key), "--known-hosts", str(arm.known_hosts)]
    run("devices", "add", "arm", "--ssh", f"board@{arm.address}", *reach)
    path = home / "devices/arm.yaml"
    content = yaml.safe_load(path.read_text())
    assert "aarch64, 2 x 0x41:0xd08" in content["description"]
    assert content["options"]["target"]["mcpu"] == "cortex-a72", "what TVM has to know"
    path.write_text(yaml.safe_dump({**content, "policy": POLICY}))
    run("agent", "install", "--device", "arm", "--offline")
    run("features", "--device", "arm", *TINY)
    rows_of("arm", 10)


@pytest.mark.slow
@pytest.mark.timeout(900)  # an emulated board takes turns with the tests beside it
def test_library_compiled_here_computes_the_same_there(home: Path, arm: NamespaceBoard, run: Run) -> None:
    if shutil.which("aarch64-linux-gnu-gcc") is None:
        pytest.skip("compiling for the board needs gcc-aarch64-linux-gnu")
    if not (home / "devices/arm.yaml").exists():
        pytest.skip("there is no board to compile for: see the test before")
    cells = home / "cells.txt"
    cells.write_text(SPACE.references[-1].string)
    assert "TVM's runtime" in run("agent", "install", "--device", "arm", "--offline", "--backend", "tvm")
    assert "installed already" in run("agent", "install", "--device", "arm", "--offline"), "both are there"
    run("profile", "--device", "arm", "--backend", "tvm", "--archs", str(cells), *TINY)
    for row in rows_of("arm+tvm", 1):
        assert row.record["build"]["target"]["mtriple"] == "aarch64-linux-gnu"
        assert row.request["runtime_version"].startswith("ffi ")
    run("agent", "uninstall", "--device", "arm")
    assert arm.shell("ls -A /home/board").split() == [".ssh"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_version_that_the_cpu_cannot_run(
    home: Path, arm: NamespaceBoard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime 1.21.0 on a Cortex-A72: refused where that is known; elsewhere the crash is told."""
    arm.endpoint().write_profile(home, "old", directory=".old-agent")
    before = arm.shell("find /home/board | sort")

    def install(line: str, code: int = 0) -> str:
        ended = main(shlex.split(line))
        read = capsys.readouterr().err
        if "no wheels for" in read:
            pytest.skip(f"the board's packages are not to be had here: {read}")
        assert ended == code, read
        return read

    command = "agent install --device old --runtime onnxruntime==1.21.0 --offline"
    read = install(command, code=3)
    assert "has no asimdhp, which onnxruntime==1.21.0 needs" in read and "fetching" not in read
    assert arm.shell("find /home/board | sort") == before, "nothing is left behind"
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, "CPU_NEEDS", ())
        read = install(command, code=3)
    assert "onnxruntime 1.21.0" in read and "SIGILL" in read
    assert arm.shell("find /home/board | sort") == before, "nothing is left behind"
    advised = re.search(r"with: modnas-hw (.*)$", read.strip().splitlines()[-1])
    assert advised is not None and "ONNX Runtime 1.20.1 installed" in install(advised[1])
    assert main(["agent", "uninstall", "--device", "old"]) == 0
    assert arm.shell("find /home/board | sort") == before
