"""Test boards as fixtures; each skips with a reason where its kind cannot be made."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boards_keys import missing_programs
from boards_loopback import LoopbackBoard
from boards_namespace import NamespaceBoard

from harness.cli import main

MakeBoard = Callable[..., NamespaceBoard]
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def no_ssh_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without keys, known hosts and SSH agent; that home."""
    folder = tmp_path / "user"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line, by default to its end without an error; what the user reads."""
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)

    def command(line: str, code: int = 0) -> str:
        ended = main(shlex.split(line))
        read = capsys.readouterr().err
        assert ended == code, read
        return read

    return command


@pytest.fixture(scope="session")
def can_make_loopback() -> None:
    """Skips where no sshd is installed."""
    if missing := missing_programs("sshd", "ssh-keygen"):
        pytest.skip(f"no {', '.join(missing)}; install openssh-server for boards on the loopback")


@pytest.fixture(scope="session")
def can_make_namespaces() -> None:
    """Skips where no board with a network of its own can be made."""
    if os.geteuid() != 0:
        pytest.skip("boards with a network of their own need root")
    if missing := missing_programs("sshd", "ssh-keygen", "ip", "unshare", "nsenter", "mmdebstrap"):
        pytest.skip(f"no {', '.join(missing)}; install openssh-server, iproute2, util-linux and mmdebstrap")
    if not Path("/dev/net/tun").exists():
        pytest.skip("boards with a network of their own need /dev/net/tun")


@pytest.fixture
def loopback(tmp_path_factory: pytest.TempPathFactory, can_make_loopback: None) -> Iterator[LoopbackBoard]:
    """Board (a) for one test."""
    board = LoopbackBoard(tmp_path_factory.mktemp("loopback"))
    yield board
    board.stop()
    shutil.rmtree(board.folder, ignore_errors=True)


@pytest.fixture
def make_board(tmp_path_factory: pytest.TempPathFactory, can_make_namespaces: None) -> Iterator[MakeBoard]:
    """Makes boards of kind (b) that end with the test."""
    made: list[NamespaceBoard] = []

    def make(with_runtime: bool = True) -> NamespaceBoard:
        made.append(NamespaceBoard(tmp_path_factory.mktemp("board"), with_runtime))
        return made[-1]

    yield make
    for board in made:
        board.remove()


@pytest.fixture
def board(make_board: MakeBoard) -> NamespaceBoard:
    """A board of kind (b) with ONNX Runtime."""
    return make_board()
