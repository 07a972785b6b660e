"""Fixtures of the attacks: agents and boards that lie, and limits that are short enough to wait for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attack_frames import Lab, write_agent
from attack_table import Person, furnish, make_specials
from boards_keys import missing_programs
from boards_loopback import LoopbackBoard

from harness.agent import client as agent_client
from harness.agent import reconnecting
from harness.core.home import subfolder
from harness.measure import session
from harness.transport import child

Attack = Callable[..., Lab]


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all attacks: its exported networks are the same for everybody."""
    return tmp_path_factory.mktemp("attacked")


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for to no end is not waited for long; a true agent is given more than it needs."""
    monkeypatch.setattr(agent_client, "MARGIN_S", 3.0)
    monkeypatch.setattr(child, "SEND_S", 5.0)
    monkeypatch.setattr(child, "GRACE_S", 0.3)
    monkeypatch.setattr(reconnecting, "RETRY_PAUSE_S", 0.05)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch, short_limits: None) -> None:
    """All limits of a conversation in tenths of seconds, for agents that would use them up."""
    for name in ("GREETING_S", "PROBE_S", "SENSOR_S", "PING_S"):
        monkeypatch.setattr(agent_client, name, 0.6)
    monkeypatch.setattr(agent_client, "MARGIN_S", 0.0)


@pytest.fixture
def lab(
    shared_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    short_limits: None,
) -> Lab:
    """A home with a device `fake`, and an empty store."""
    store = tmp_path / "store.sqlite"
    monkeypatch.setenv("MODNAS_HOME", str(shared_home))
    monkeypatch.setenv("MODNAS_STORE", f"sqlite:///{store}")
    monkeypatch.setenv("MODNAS_DEBUG", "")
    return Lab(shared_home, store, capsys)


@pytest.fixture
def attack(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attack:
    """Has the local agent played in a mode of `fake_agent.py`."""

    def play(mode: str, always: bool = False) -> Lab:
        program = write_agent(tmp_path, mode, always)
        monkeypatch.setitem(
            session.TRANSPORTS, "local", lambda _: child.ChildTransport(program, subfolder("agent"))
        )
        return lab

    return play


@pytest.fixture(scope="session")
def attacked_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackBoard]:
    """An sshd on the loopback, whose Python `fake_board.py` replaces."""
    if missing := missing_programs("sshd", "ssh-keygen"):
        pytest.skip(f"no {', '.join(missing)}; install openssh-server for boards on the loopback")
    board = LoopbackBoard(tmp_path_factory.mktemp("attacked-board"))
    yield board
    board.stop()


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folders of a person who has worked with the program are made, once."""
    return tmp_path_factory.mktemp("furnished")


@pytest.fixture
def person(
    furnished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Person:
    """Somebody with a home and a folder of files, a copy of which everybody gets."""
    if not (furnished / "home").exists():
        furnish(Person(furnished, capsys, monkeypatch))
    shutil.copytree(furnished, tmp_path / "person")
    someone = Person(tmp_path / "person", capsys, monkeypatch)
    make_specials(someone.work)
    monkeypatch.setattr("harness.core.text_files.WRITER_S", 0.2)
    return someone
