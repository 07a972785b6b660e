"""Those who wait for a board: first come, first served, and nobody who is gone is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from modnas_agent.board import turn as module
from modnas_agent.board.lock import BoardLock

WAITER = """
import sys, time
from pathlib import Path
from modnas_agent.board.lock import BoardLock
lock = BoardLock(Path(sys.argv[1]))
assert not lock.acquire("x", 60.0)
print("waits", flush=True)
time.sleep(60)
"""


def waiter(path: Path) -> subprocess.Popen[bytes]:
    """Another process that waits for a lock and does nothing more."""
    process = subprocess.Popen([sys.executable, "-c", WAITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"waits\n"
    return process


def places(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "waiting").iterdir())


def test_who_came_first_is_served_first(tmp_path: Path) -> None:
    path = tmp_path / "agent.lock"
    holder, *waiting = (BoardLock(path) for _ in range(4))
    assert holder.acquire("0", 60.0) and not any(lock.acquire("x", 60.0) for lock in waiting)
    for lock in waiting:
        holder.release()
        assert not holder.acquire("again", 60.0), "it has had its turn"
        others = [other for other in waiting if other is not lock]
        assert not any(other.acquire("x", 60.0) for other in others)
        assert lock.acquire("x", 60.0)
        holder.release()
        holder, waiting = lock, others
    holder.release()
    assert holder.acquire("again", 60.0), "nobody waits any more"
    holder.release()
    assert BoardLock(path).acquire("x", 60.0) and not places(tmp_path)


def test_one_that_waits_no_longer_is_passed(tmp_path: Path) -> None:
    holder, first, second = (BoardLock(tmp_path / "agent.lock") for _ in range(3))
    assert holder.acquire("0", 60.0) and not first.acquire("1", 60.0) and not second.acquire("2", 60.0)
    first.release()
    holder.release()
    assert second.acquire("2", 60.0)


def test_a_place_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "agent.lock"
    holder, second = BoardLock(path), BoardLock(path)
    assert holder.acquire("0", 60.0)
    with waiter(path) as first:
        assert not second.acquire("2", 60.0)
        holder.release()
        assert not second.acquire("2", 60.0), "the first one lives"
        first.kill()
        first.wait()
        assert second.acquire("2", 60.0)
    assert len(places(tmp_path)) == 1, "only the holder's own"


def test_one_that_hangs_loses_its_place_but_not_while_the_board_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))  # a second a try
    path = tmp_path / "agent.lock"
    holder, second = BoardLock(path), BoardLock(path)
    assert holder.acquire("0", 60.0)
    with waiter(path) as first:
        os.kill(first.pid, signal.SIGSTOP)
        monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
        assert not any(second.acquire("2", 60.0) for _ in range(60))
        assert len(places(tmp_path)) == 2
        holder.release()
        assert any(second.acquire("2", 60.0) for _ in range(20)), "the first one let it pass"
        first.kill()


def test_nothing_of_others_is_taken_for_a_place(tmp_path: Path) -> None:
    folder, name = tmp_path / "waiting", f"{'0' * 20}-abcdef0"
    (folder / f"{name}1").mkdir(parents=True)
    os.mkfifo(folder / f"{name}2")
    (tmp_path / "cat.jpg").write_text("mine")
    (folder / f"{name}3").symlink_to(tmp_path / "cat.jpg")
    (folder / f"{name}45").write_text("mine")
    before = places(tmp_path)
    holder, second = (BoardLock(tmp_path / "agent.lock") for _ in range(2))
    assert holder.acquire("1", 60.0) and not second.acquire("2", 60.0)
    holder.release()
    assert second.acquire("2", 60.0)
    second.release()
    assert BoardLock(tmp_path / "agent.lock").acquire("3", 60.0)
    assert places(tmp_path) == before and (tmp_path / "cat.jpg").read_text() == "mine"


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "waiting").symlink_to("photos")
    with pytest.raises(OSError, match="symbolic links"):
        BoardLock(tmp_path / "agent.lock").acquire("x", 60.0)
    assert not list((tmp_path / "photos").iterdir())
