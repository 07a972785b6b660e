"""From a bare board to a measured device and back, and every reason why that may not go."""

from __future__ import annotations

import _ctypes
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from boards_image import share_wheels
from boards_loopback import LoopbackBoard
from boards_namespace import NamespaceBoard
from boards_wheels import make_wheel

from harness.boards import runtime_install

DOCS = Path(__file__).resolve().parents[3] / "docs"
#: Policies as in the profile of a quick device: the guide's own would take longer than a test may.
QUICK = {"precision": 0.3, "warmup_s": 0.01, "min_time_s": 0.01, "max_time_s": 0.05, "min_samples": 5}
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path) -> None:
    """Runtimes are fetched once for all tests."""
    share_wheels(tmp_path / "home")


def board_files(board: NamespaceBoard) -> str:
    return board.shell("find /home/board /tmp -mindepth 1 | sort")


@pytest.mark.exclusive
@pytest.mark.slow
def test_the_guide_followed_by_the_letter(
    make_board: Callable[..., NamespaceBoard],
    run: Run,
    no_ssh_of_the_user: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    board = make_board(with_runtime=False)
    (no_ssh_of_the_user / ".ssh/config").write_text(
        f"Host raspberrypi.local\n HostName {board.address}\n IdentityFile {board.client_key}\n"
    )
    board.shell("sed -i 's/^board:/pi:/' /etc/passwd /etc/shadow")
    before = board_files(board)
    commands = re.findall(r"^    modnas-hw (.*)$", (DOCS / "adding-a-board.md").read_text(), re.MULTILINE)
    assert len(commands) == 9, "the guide has changed; see whether this test still follows it"
    refused = run(commands[0], code=3)
    accepting = re.search(r"accept it with: (echo .*)$", refused)
    assert accepting is not None and "SHA256:" in refused
    subprocess.run(["sh", "-c", accepting[1]], check=True)
    run(commands[1])
    assert board_files(board) == before, "asking what it is leaves nothing behind"
    path = tmp_path / "home/devices/pi.yaml"
    content = yaml.safe_load(path.read_text())
    assert (
        content["transport"]["ssh"]["host"] == "raspberrypi.local" and "debian 12" in content["description"]
    )
    path.write_text(yaml.safe_dump({**content, "policy": QUICK}))
    assert "installed" in run(commands[2])
    began = time.monotonic()
    assert "was installed already" in run(commands[3])
    again_s = time.monotonic() - began
    record_property("again_s", again_s)
    assert again_s < 3.0, "a second install is a no-op"
    assert "offline" in run(commands[4])
    assert run(commands[5]).count("ok  ") == 6
    assert "measured 3" in run(commands[6])
    run(commands[7])
    assert board_files(board) == before, "uninstalling leaves no file"
    run(commands[8])
    assert not path.exists()


OLD_PYTHON = """
rm /usr/bin/python3
printf '#!/bin/sh\\necho modnas:3.7.3:/usr/bin/python3\\n' > /usr/bin/python3
chmod a+x /usr/bin/python3
chmod a-x /usr/bin/python3.11
"""


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("chmod a-x /usr/bin/python3.11", r"no Python was found on .*; install Python 3\.8 or newer"),
        (OLD_PYTHON, r"/usr/bin/python3 on .* is Python 3\.7\.3, the agent needs 3\.8 or newer"),
        ("chown root /home/board", r"cannot be written: Permission denied"),
        ("rm /usr/lib/x86_64-linux-gnu/libstdc++.so.6*", r"lacks libstdc\+\+\.so\.6.*apt-get install"),
    ],
    ids=["no Python", "old Python", "read-only home", "missing library"],
)
def test_what_a_board_lacks_is_named(
    make_board: Callable[..., NamespaceBoard], run: Run, tmp_path: Path, spoil: str, expected: str
) -> None:
    board = make_board(with_runtime=False)
    board.shell(spoil)
    board.endpoint().write_profile(tmp_path / "home", "bare")
    before = board_files(board)
    read = run("agent install --device bare --offline", code=3)
    assert re.search(expected, read.strip().splitlines()[-1]), read
    assert board_files(board) == before, "nothing is left behind"


def test_too_little_space_is_named(
    make_board: Callable[..., NamespaceBoard], run: Run, tmp_path: Path
) -> None:
    board = make_board(with_runtime=False)
    board.mount_disk("/home/board/small", kilobytes=20_000)
    board.endpoint().write_profile(tmp_path / "home", "bare", directory="small/agent")
    read = run("agent install --device bare --offline", code=3)
    assert re.search(r"has \d+ MB free, the runtime needs \d+", read), read
    assert board.shell("ls -A /home/board/small") == "", "nothing is left behind"


@pytest.mark.slow
def test_install_from_the_boards_own_index(tmp_path: Path, run: Run, can_make_loopback: None) -> None:
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "onnxruntime", "1.99.0")
    make_wheel(index, "numpy", "9.9.9")
    board = LoopbackBoard(tmp_path / "board", f"SetEnv PIP_NO_INDEX=1 PIP_FIND_LINKS={index}\n")
    try:
        python = getattr(sys, "_base_executable", sys.executable)
        board.endpoint.write_profile(tmp_path / "home", "online", python=python)
        assert "ONNX Runtime 1.99.0 installed" in run("agent install --device online")
        assert "1.99.0 (venv)" in run("agent status --device online")
        assert "was installed already" in run("agent install --device online")
        (module,) = (board.directory / "agent").rglob("onnxruntime/__init__.py")
        module.write_bytes(b"\0" * module.stat().st_size)
        assert "1.99.0 installed" in run("agent install --device online"), "a damaged one is made again"
        (agent,) = (board.directory / "agent").glob("*.pyz")
        agent.rename(agent.with_name("modnas_agent-0123456789ab.pyz"))
        assert "1.99.0 installed" in run("agent install --device online"), "another version was there"
        assert list((board.directory / "agent").glob("*.pyz")) == [agent], "one version stays"
        run("agent uninstall --device online")
        assert not any(board.directory.iterdir())
        assert "nothing was installed" in run("agent uninstall --device online")
    finally:
        board.stop()


@pytest.mark.slow
def test_tvm_from_the_boards_own_index(
    tmp_path: Path, run: Run, can_make_loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package comes from the index, the library that no index has by itself comes from here."""
    pytest.importorskip("tvm_ffi")
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "apache_tvm_ffi", version("apache-tvm-ffi"), "tvm_ffi")
    make_wheel(index, "numpy", "9.9.9")
    library = tmp_path / "libtvm_runtime.so"
    shutil.copy(_ctypes.__file__, library)  # anything that can be loaded
    monkeypatch.setattr(runtime_install, "runtime_file", lambda platform, file: library)
    board = LoopbackBoard(tmp_path / "board", f"SetEnv PIP_NO_INDEX=1 PIP_FIND_LINKS={index}\n")
    try:
        python = getattr(sys, "_base_executable", sys.executable)
        board.endpoint.write_profile(tmp_path / "home", "online", python=python)
        expected = f"TVM's runtime ffi {version('apache-tvm-ffi')}"
        assert f"{expected} installed" in run("agent install --device online --backend tvm")
        assert f"{expected} (venv)" in run("agent status --device online --backend tvm")
        assert "nothing is installed" in run("agent status --device online"), "that is another backend"
        (brought,) = (board.directory / "agent").glob("runtime-tvm-*/files/*")
        assert brought.read_bytes() == library.read_bytes()
        photo = brought.with_name("photo.jpg")
        photo.write_bytes(b"photo")
        told = f"left there, not the agent's: {photo.relative_to(board.directory / 'agent')}"
        assert told in run("agent uninstall --device online")
        left = {path.name for path in board.directory.rglob("*") if path.is_file()}
        assert left == {"photo.jpg", ".modnas-files.json"}
    finally:
        board.stop()


def test_this_machine_has_nothing_to_install(run: Run) -> None:
    assert "is this machine" in run("agent install --device cpu", code=2)


def test_foreign_folder_is_not_removed(loopback: LoopbackBoard, run: Run, tmp_path: Path) -> None:
    precious = loopback.directory / "photos"
    precious.mkdir()
    (precious / "cat.jpg").write_bytes(b"cat")
    loopback.endpoint.write_profile(tmp_path / "home", "pi", directory=str(precious))
    assert "nothing was removed" in run("agent uninstall --device pi", code=3)
    assert (precious / "cat.jpg").exists()


def test_check_names_the_first_step_that_fails(loopback: LoopbackBoard, run: Run, tmp_path: Path) -> None:
    loopback.endpoint.write_profile(tmp_path / "home", "pi", python="/bin/false")
    read = run("devices check pi", code=3)
    assert "ok  connection: " in read and "step 'python' failed: " in read and read.count("ok  ") == 1
