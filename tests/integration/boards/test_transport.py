"""The transport over real servers: what works, what breaks, and what the user reads then."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from boards_keys import Endpoint, make_key
from boards_loopback import LoopbackBoard
from modnas_agent.wire.protocol import PROTOCOL_VERSION

from harness.boards.board import Board
from harness.core.errors import DeviceUnavailableError, UsageError
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.measure.session import DeviceSession
from harness.transport.ssh_connection import Completed
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))


def profile(endpoint: Endpoint, **changes: Any) -> DeviceProfile:
    return DeviceProfile.model_validate(endpoint.profile("board", **changes))


def bare_refusal(endpoint: Endpoint, **changes: Any) -> str:
    """The same on a board that had nothing of ours, and has nothing afterwards."""
    text = refusal(endpoint, **changes)
    assert not Path(str(endpoint.extra["directory"])).exists(), "nothing is left behind"
    return text


def refusal(endpoint: Endpoint, **changes: Any) -> str:
    """What the user reads when the board cannot be had: one line."""
    with pytest.raises(DeviceUnavailableError) as caught, DeviceSession(profile(endpoint, **changes)):
        pass
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3
    return str(caught.value)


@pytest.mark.slow
def test_measures_and_brings_every_file_once(loopback: LoopbackBoard, tmp_path: Path) -> None:
    artifact = ArtifactCache(tmp_path).get(SPACE, SPACE.references[0], 1)
    with DeviceSession(profile(loopback.endpoint)) as session:
        assert session.measure(artifact)["status"] == "ok"
        assert session.client.ping()["event"] == "pong"
    files = loopback.directory / "agent"
    (uploaded,) = (files / "artifacts").iterdir()
    assert uploaded.read_bytes() == artifact.path.read_bytes()
    stamp = uploaded.stat().st_mtime_ns
    uploaded.touch()
    touched = uploaded.stat().st_mtime_ns
    with DeviceSession(profile(loopback.endpoint)) as session:
        assert session.measure(artifact)["status"] == "ok"
    assert uploaded.stat().st_mtime_ns == touched > stamp, "it was not brought a second time"
    uploaded.write_bytes(b"half of it")
    with DeviceSession(profile(loopback.endpoint)) as session:
        assert session.measure(artifact)["status"] == "ok"
    assert len(list(files.glob("*.pyz"))) == 1 and not list(files.rglob("*.part"))


def test_unknown_host_key_is_refused_and_the_command_accepts_it(
    loopback: LoopbackBoard, tmp_path: Path
) -> None:
    known = tmp_path / "known hosts"
    text = bare_refusal(loopback.endpoint, known_hosts=str(known))
    assert "SHA256:" in text
    match = re.search(r"accept it with: (echo .*)$", text)
    assert match is not None
    subprocess.run(["sh", "-c", match[1]], check=True)
    with Board(profile(loopback.endpoint, known_hosts=str(known))) as board:
        assert board.connection.active


def test_changed_host_key_is_refused_and_the_command_forgets_the_old_one(
    loopback: LoopbackBoard, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{loopback.port} {other[0]} {other[1]}\n")
    text = bare_refusal(loopback.endpoint, known_hosts=str(known))
    assert "has changed" in text and text.count("SHA256:") == 2
    match = re.search(r"forget the old key with: (ssh-keygen .*)$", text)
    assert match is not None
    subprocess.run(["sh", "-c", match[1]], check=True, capture_output=True)
    assert "is not known" in refusal(loopback.endpoint, known_hosts=str(known))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user": "nobody-here"}, r"refuses the key\(s\) from .*ssh-copy-id -p"),
        ({"host": "no-such-host.invalid"}, "cannot be resolved; name the board in ~/.ssh/config"),
        ({"port": 1}, "nothing listens on port 1 of 127.0.0.1"),
        ({"python": "/nonexistent/python3"}, "/nonexistent/python3 is no Python on .*install Python 3.8"),
    ],
)
def test_wrong_settings_are_named(loopback: LoopbackBoard, changes: dict[str, Any], expected: str) -> None:
    assert re.search(expected, bare_refusal(loopback.endpoint, **changes))


def test_refused_key(loopback: LoopbackBoard, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    text = bare_refusal(loopback.endpoint, identity_file=str(stranger))
    assert str(stranger) in text and "ssh-copy-id" in text


def test_missing_identity_file_is_wrong_usage(loopback: LoopbackBoard) -> None:
    with (
        pytest.raises(UsageError, match="/nonexistent/key does not exist"),
        DeviceSession(profile(loopback.endpoint, identity_file="/nonexistent/key")),
    ):
        pass


def test_port_where_something_else_listens(loopback: LoopbackBoard) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        profile_ = profile(loopback.endpoint, port=mute.getsockname()[1])
        with pytest.raises(DeviceUnavailableError, match=r"no SSH server answers|does not answer"):
            Board(profile_, timeout_s=2.0)


def test_names_come_from_the_ssh_configuration(
    loopback: LoopbackBoard, no_ssh_of_the_user: Path, tmp_path: Path
) -> None:
    endpoint = loopback.endpoint
    (no_ssh_of_the_user / ".ssh/config").write_text(
        f"Host pi\n HostName 127.0.0.1\n Port {endpoint.port}\n User {endpoint.user}\n"
        f" IdentityFile {endpoint.identity_file}\n UserKnownHostsFile {endpoint.known_hosts}\n"
    )
    settings = {"ssh": {**endpoint.extra}}
    with DeviceSession(DeviceProfile.model_validate({"name": "pi", "transport": settings})) as session:
        assert session.client.ping()["event"] == "pong"


def test_jump_hosts(loopback: LoopbackBoard) -> None:
    here = f"{loopback.endpoint.user}@127.0.0.1:{loopback.port}"
    with DeviceSession(profile(loopback.endpoint, jump=f"{here},{here}")) as session:
        assert session.client.ping()["event"] == "pong"
    log = (loopback.folder / "sshd.log").read_text()
    assert log.count("Accepted publickey") == 3, "two hops and the board"
    assert "jump" not in refusal(loopback.endpoint, jump=here, host="127.0.0.2", port=1)


def test_proxy_command(loopback: LoopbackBoard, no_ssh_of_the_user: Path, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, pathlib, socket, sys, threading\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "link = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def back():\n"
        "    while data := link.recv(65536): os.write(1, data)\n"
        "threading.Thread(target=back).start()\n"
        "while data := os.read(0, 65536): link.sendall(data)\n"
    )
    config = no_ssh_of_the_user / ".ssh/config"
    config.write_text(f"Host pi\n HostName 127.0.0.1\n ProxyCommand {sys.executable} {relay} %h %p\n")
    with DeviceSession(profile(loopback.endpoint, host="pi")) as session:
        assert session.client.ping()["event"] == "pong"
    command = Path("/proc") / (tmp_path / "pid").read_text()
    deadline = time.monotonic() + 10
    while command.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not command.exists(), "the command ends with the connection"
    config.write_text("Host pi\n ProxyCommand /nonexistent/way %h\n")
    assert "the ProxyCommand to" in refusal(loopback.endpoint, host="pi")


def test_banner_and_talkative_shell_do_no_harm(loopback: LoopbackBoard) -> None:
    loopback.stop()
    folder = loopback.folder
    banner, shell = folder / "banner", folder / "shell"
    banner.write_text("Welcome! {\n")
    shell.write_text(
        "#!/bin/sh\n"
        'case "$SSH_ORIGINAL_COMMAND" in *sftp*) exec /usr/lib/openssh/sftp-server;; esac\n'
        'echo "Hi! 50 updates"; echo "{]"; exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    shell.chmod(0o755)
    noisy = LoopbackBoard(
        folder / "noisy", f"Banner {banner}\nSubsystem sftp-unused internal-sftp\n", f'command="{shell}"'
    )
    try:
        with DeviceSession(profile(noisy.endpoint)) as session:
            assert session.client.ping()["event"] == "pong"
    finally:
        noisy.stop()


@pytest.mark.slow
def test_a_login_shell_that_talks_is_listened_to_until_the_agent_speaks(loopback: LoopbackBoard) -> None:
    """A hundred lines, then the title of a terminal and a word, neither with a newline."""
    loopback.stop()
    shell = loopback.folder / "shell"
    shell.write_text(
        "#!/bin/sh\n"
        'case "$SSH_ORIGINAL_COMMAND" in *sftp*) exec /usr/lib/openssh/sftp-server;; esac\n'
        "for n in $(seq 100); do echo {$n updates; done; printf '\\033]0;pi: ~\\007welcome'\n"
        'exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    shell.chmod(0o755)
    talking = LoopbackBoard(
        loopback.folder / "talking", "Subsystem sftp-unused internal-sftp\n", f'command="{shell}"'
    )
    try:
        with Board(profile(talking.endpoint)) as board:
            assert board.connection.run("echo a; echo b") == Completed(0, "a\nb\n", "")
            assert board.hello()["event"] == "hello"
        with DeviceSession(profile(talking.endpoint)) as session:
            assert session.client.ping()["event"] == "pong"
    finally:
        talking.stop()


@pytest.mark.slow
@pytest.mark.parametrize("files_begin", ["at home", "where the shell goes"])
def test_a_login_shell_that_goes_elsewhere_does_not_take_the_agent_along(
    loopback: LoopbackBoard, files_begin: str
) -> None:
    loopback.stop()
    home, elsewhere, shell = (loopback.folder / name for name in ("home", "elsewhere", "shell"))
    home.mkdir()
    elsewhere.mkdir()
    sftp = 'case "$SSH_ORIGINAL_COMMAND" in *sftp*) exec /usr/lib/openssh/sftp-server;; esac'
    lines = [f"export HOME={home}; cd", sftp, f"cd {elsewhere}", sftp, 'exec sh -c "$SSH_ORIGINAL_COMMAND"']
    shell.write_text(
        "\n".join(["#!/bin/sh", *(lines if files_begin == "at home" else lines[:1] + lines[2:])])
    )
    shell.chmod(0o755)
    moving = LoopbackBoard(
        loopback.folder / "moving", "Subsystem sftp-unused internal-sftp\n", f'command="{shell}"'
    )
    try:
        for _ in range(2):
            with DeviceSession(profile(moving.endpoint, directory="agent")) as session:
                assert session.client.ping()["event"] == "pong"
    finally:
        moving.stop()
    assert len(list((home / "agent").glob("*.pyz"))) == 1
    assert not list(elsewhere.iterdir())


def test_agent_of_another_protocol_is_refused(loopback: LoopbackBoard) -> None:
    old = loopback.folder / "old"
    greeting = '{"event": "hello", "id": "", "protocol": 99, "agent_version": "9.9"}'
    python = loopback.endpoint.extra["python"]
    old.write_text(
        f'#!/bin/sh\ncase "$*" in *serve*) echo \'{greeting}\'; sleep 5; exit;; esac\nexec {python} "$@"\n'
    )
    old.chmod(0o755)
    text = refusal(loopback.endpoint, python=str(old))
    assert "speaks protocol 99" in text and "install the same version on both" in text


def test_endless_garbage_is_named(loopback: LoopbackBoard) -> None:
    folder = loopback.folder
    mad = folder / "mad"
    python = loopback.endpoint.extra["python"]
    mad.write_text(f'#!/bin/sh\ncase "$*" in *serve*) exec yes garbage;; esac\nexec {python} "$@"\n')
    mad.chmod(0o755)
    assert "no frame of the agent: not JSON" in refusal(loopback.endpoint, python=str(mad))


def test_agent_under_systemd(tmp_path: Path, can_make_loopback: None) -> None:
    """With a stand-in for systemd-run, which notes how it is called and goes on with the rest."""
    stand_in = tmp_path / "bin/systemd-run"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -- ]; do echo "$1" >> {tmp_path}/called; shift; done\nshift\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    board = LoopbackBoard(tmp_path / "board", f"SetEnv PATH={stand_in.parent}:/usr/bin:/bin\n")
    try:
        with DeviceSession(profile(board.endpoint, systemd=True)) as session:
            assert session.client.ping()["event"] == "pong"
    finally:
        board.stop()
    assert {"--user", "--pipe", "--slice=modnas-agent.slice"} <= set(
        (tmp_path / "called").read_text().split()
    )


@pytest.mark.slow
def test_frame_over_the_limit(loopback: LoopbackBoard) -> None:
    large, python = loopback.folder / "large", loopback.endpoint.extra["python"]
    greeting = f'{{"event": "hello", "id": "", "protocol": {PROTOCOL_VERSION}, "agent_version": "1",'
    greeting += '"inventory": {"machine": "m"}}'
    speech = f"echo '{greeting}'; head -c 3000000 /dev/zero; echo; sleep 5; exit"
    large.write_text(f'#!/bin/sh\ncase "$*" in *serve*) {speech};; esac\nexec {python} "$@"\n')
    large.chmod(0o755)
    assert "no frame of the agent: frame of more than 1048576 bytes" in refusal(
        loopback.endpoint, python=str(large)
    )
    with (
        DeviceSession(profile(loopback.endpoint)) as session,
        pytest.raises(UsageError, match=r"cannot be sent to the agent: .*1048576"),
    ):
        session.client.measure({"rubbish": "x" * 2_000_000}, 1.0)
