"""Boards whose servers have no SFTP: everything goes over their shell, and nothing is different."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from boards_dropbear import SMALL_KB, DropbearBoard
from boards_keys import missing_programs
from boards_loopback import LoopbackBoard

from harness.boards.board import Board
from harness.cli import main
from harness.core.errors import DeviceUnavailableError
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.measure.session import DeviceSession
from harness.transport.file_ways import FileWay
from harness.transport.sftp_files import open_sftp
from harness.transport.shell_files import ShellFiles
from harness.transport.ssh_address import resolve
from harness.transport.ssh_connection import COMMAND_S, SshConnection
from harness.transport.ssh_files import BoardFullError
from modnas.spaces import get_space

pytestmark = pytest.mark.slow

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))


def without_subsystem(folder: Path) -> LoopbackBoard:
    return LoopbackBoard(folder, sftp=False)


def with_busybox(folder: Path) -> LoopbackBoard:
    """No other programs than BusyBox's, its shell among them."""
    if missing := missing_programs("busybox"):
        pytest.skip(f"no {', '.join(missing)}; install busybox-static for boards with its shell")
    programs = folder / "bin"
    programs.mkdir(parents=True)
    subprocess.run(["busybox", "--install", "-s", programs], check=True)
    return LoopbackBoard(folder, key_options=f'command="{with_programs(folder, programs)}"', sftp=False)


def with_programs(folder: Path, programs: Path) -> Path:
    """A login shell that knows no others."""
    shell = folder / "shell"
    shell.write_text(f'#!/bin/sh\nPATH={programs} exec {programs}/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    shell.chmod(0o755)
    return shell


def with_noise(folder: Path) -> LoopbackBoard:
    """SFTP is there, and spoilt by a login shell that says hello to it as well."""
    shell = folder / "shell"
    folder.mkdir(parents=True, exist_ok=True)
    shell.write_text(
        "#!/bin/sh\necho Hello.\n"
        'case "$SSH_ORIGINAL_COMMAND" in *sftp*) exec /usr/lib/openssh/sftp-server;; esac\n'
        'exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    shell.chmod(0o755)
    return LoopbackBoard(folder, key_options=f'command="{shell}"')


def dropbear(folder: Path) -> LoopbackBoard:
    if os.geteuid() != 0:
        pytest.skip("a Dropbear of its own needs root")
    if missing := missing_programs("dropbear", "dropbearkey", "unshare"):
        pytest.skip(f"no {', '.join(missing)}; install dropbear-bin for boards without SFTP")
    return DropbearBoard(folder)


@pytest.fixture(
    params=[without_subsystem, with_busybox, with_noise, dropbear], ids=lambda make: make.__name__
)
def plain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, can_make_loopback: None
) -> Iterator[LoopbackBoard]:
    """A board without SFTP."""
    board = request.param(tmp_path_factory.mktemp("plain"))
    yield board
    board.stop()
    shutil.rmtree(board.folder, ignore_errors=True)


def profile(board: LoopbackBoard) -> DeviceProfile:
    return DeviceProfile.model_validate(board.endpoint.profile("board"))


def fill(folder: Path) -> None:
    """A folder with what a person may have in one, each half a minute older than the one before."""
    folder.mkdir()
    names = [
        b"plain.onnx",
        b"with space",
        b"-rf",
        b".hidden",
        b"..twice",
        b'it\'s "quoted"',
        b"$HOME;`id`",
        b"two\nlines",
        b"forged\n-rw-r--r-- 1 0 0 5 Jan  1 00:00 .",
        b"caf\xe9.jpg",
        "größe".encode(),
        b"[a]*?",
        b"tab\tand\x1b[31m",
    ]
    for number, name in enumerate(names):
        path = folder / os.fsdecode(name)
        path.write_bytes(b"x" * (7 * number))
        stamp = time.time() - 30 * number - 100
        os.utime(path, (stamp, stamp))
    (folder / "inner").mkdir()
    os.mkfifo(folder / "queue")
    for name, target in (
        ("up", "../.."),
        ("away", "/nowhere/at\n-rw- 1 0 0 5 ./all"),
        ("near", "plain.onnx"),
    ):
        (folder / name).symlink_to(target)


def test_both_ways_see_the_same(loopback: LoopbackBoard) -> None:
    folder = loopback.directory / "fol der"
    fill(folder)
    with Board(profile(loopback)) as board:
        ways: list[FileWay] = [ShellFiles(board.connection)]
        sftp = open_sftp(board.connection)
        assert sftp is not None
        ways.append(sftp)
        ours, theirs = (way.entries(str(folder)) for way in ways)
        assert {name: entry.kind for name, entry in ours.items()} == {
            name: entry.kind for name, entry in theirs.items()
        }
        files = [name for name, entry in theirs.items() if entry.kind == "file"]
        assert len(files) == 13
        assert [ours[name].bytes for name in files] == [theirs[name].bytes for name in files]
        for way in ways:
            found = way.entries(str(folder))
            assert sorted(files, key=lambda name: found[name].changed_at) == sorted(
                files, key=lambda name: -found[name].bytes
            )
            assert way.real_path(str(folder / "up/board/fol der")) == str(folder)
            assert {way.lstat(str(folder / name)).kind for name in ("up", "near", "queue")} == {"other"}
            for call in (way.lstat, way.read):
                with pytest.raises(FileNotFoundError):
                    call(str(folder / "nothing"))
            assert way.entries(str(folder / "inner")) == {}


@pytest.mark.slow
def test_a_board_that_has_everything_but_sftp_is_installed_measured_and_left(
    plain: LoopbackBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    plain.endpoint.write_profile(tmp_path / "home", "board")

    def types(line: str) -> str:
        ended = main(shlex.split(line))
        read = capsys.readouterr().err
        assert ended == 0, read
        return read

    assert "installed" in types("agent install --device board")
    assert "was installed already" in types("agent install --device board")
    assert types("devices check board").count("ok  ") == 6
    artifact = ArtifactCache(tmp_path).get(SPACE, SPACE.references[0], 1)
    files = plain.directory / "agent"
    for _ in range(2):
        with DeviceSession(profile(plain)) as session:
            assert session.measure(artifact)["status"] == "ok"
        uploaded = files / "artifacts" / f"{artifact.sha256}.onnx"
        assert uploaded.read_bytes() == artifact.path.read_bytes()
        stamp = uploaded.stat().st_mtime_ns
    assert uploaded.stat().st_mtime_ns == stamp, "it was not brought a second time"
    uploaded.write_bytes(b"half of it")
    with DeviceSession(profile(plain)) as session:
        assert session.measure(artifact)["status"] == "ok"
    assert not list(files.rglob("*.part")) and files.stat().st_mode & 0o777 == 0o700
    types("agent uninstall --device board")
    assert not files.exists()


def test_files_are_there_as_a_whole_or_not_at_all(plain: LoopbackBoard) -> None:
    folder, content = plain.directory / 'it\'s a "folder"; $(id)', os.urandom(3 << 20)
    with Board(profile(plain)) as board:
        files = board.files
        assert files.read(str(folder / "file")) is None and files.entries(str(folder)) is None
        files.make_folder(str(folder / "inner"))
        files.write(str(folder / "file"), b"\0" * 5000)
        files.write(str(folder / "file"), content[:50_000])
        assert files.read(str(folder / "file")) == content[:50_000]
        files.write(str(folder / "empty"), b"")
        assert files.read(str(folder / "empty")) == b""
        files.remove(str(folder / "nothing"))
        with pytest.raises(DeviceUnavailableError, match=r"inner on .* cannot be written: .* MB free"):
            files.write(str(folder / "inner"), content)
        with pytest.raises(DeviceUnavailableError, match=r"file/below on .* cannot be written"):
            files.make_folder(str(folder / "file/below"))
        with pytest.raises(DeviceUnavailableError, match=r"inner cannot be deleted on .*[iI]s a directory"):
            files.remove(str(folder / "inner"))
        with pytest.raises(DeviceUnavailableError, match=r"file on .* is a file: nothing was written"):
            files.entries(str(folder / "file"))
        assert set(files.entries(str(folder)) or {}) == {"file", "empty", "inner"}
        assert files.entries(str(folder / "inner")) == {}
        (folder / "mine").symlink_to(folder / "inner")
        with pytest.raises(DeviceUnavailableError, match=r"mine on .* is a link"):
            files.entries(str(folder / "mine"))


def test_upload_goes_on_where_the_link_broke(plain: LoopbackBoard) -> None:
    content, target = os.urandom(24 << 20), plain.directory / "large"

    def sent() -> list[Path]:
        return list(plain.directory.glob("large.*.part"))

    with Board(profile(plain)) as board:

        def break_link() -> None:
            while not (sent() and sent()[0].stat().st_size > 1 << 20):
                time.sleep(0.001)
            board.connection.close()

        breaker = threading.Thread(target=break_link)
        breaker.start()
        with pytest.raises(DeviceUnavailableError, match=r"was lost"):
            board.files.write(str(target), content)
        breaker.join()
    (part,) = sent()
    assert 0 < part.stat().st_size < len(content) and not target.exists()
    with Board(profile(plain)) as board:
        board.files.write(str(target), content)
    assert target.read_bytes() == content and not sent()


def test_full_disk_is_named_and_holds_no_half_file(
    tmp_path_factory: pytest.TempPathFactory, can_make_loopback: None
) -> None:
    full = dropbear(tmp_path_factory.mktemp("dropbear"))
    try:
        with Board(profile(full)) as board:
            board.files.write("/" + str(full.directory / "small/some")[1:], b"\1" * 1000)
            with pytest.raises(BoardFullError, match=r"is full: .*large cannot be written"):
                board.files.write(str(full.directory / "small/large"), os.urandom(2 * SMALL_KB << 10))
            assert set(board.files.entries(str(full.directory / "small")) or {}) == {"some"}
    finally:
        full.stop()


def test_what_is_read_has_a_limit(plain: LoopbackBoard) -> None:
    with (plain.directory / "endless").open("wb") as file:
        file.truncate(1 << 30)
    with (
        Board(profile(plain)) as board,
        pytest.raises(DeviceUnavailableError, match=r"does not stop writing"),
    ):
        board.files.read(str(plain.directory / "endless"))


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path_factory: pytest.TempPathFactory, can_make_loopback: None
) -> None:
    folder = tmp_path_factory.mktemp("bare")
    programs = folder / "bin"
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "xargs":
            (programs / program.name).symlink_to(program)
    board = LoopbackBoard(folder, key_options=f'command="{with_programs(folder, programs)}"', sftp=False)
    try:
        (board.directory / "agent").mkdir()
        (board.directory / "agent/cat.jpg").write_bytes(b"cat")
        with Board(profile(board)) as opened, pytest.raises(DeviceUnavailableError, match="cannot be listed"):
            opened.folder.check()
    finally:
        board.stop()


class Hesitant(SshConnection):
    """Once, it lets another command end between a channel and the command that goes over it."""

    late_after: paramiko.Channel | None = None

    def session(self, timeout_s: float = COMMAND_S) -> paramiko.Channel:
        channel = super().session(timeout_s)
        if self.late_after is not None:
            self.late_after.recv_exit_status()
            self.late_after = None
            time.sleep(0.2)
        return channel


def test_a_command_that_the_server_let_fall_before_it_began_is_started_anew(
    tmp_path_factory: pytest.TempPathFactory, can_make_loopback: None
) -> None:
    board = dropbear(tmp_path_factory.mktemp("dropbear"))
    settings = profile(board).ssh
    assert settings is not None
    try:
        connection = Hesitant(resolve("board", settings))
        connection.late_after = connection.start("sleep 0.5")
        assert connection.run("echo here").output.split() == ["here"]
        connection.close()
    finally:
        board.stop()
