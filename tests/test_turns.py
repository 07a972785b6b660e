"""Turns of tests in several processes."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

from turns import turn


def wait_until_locked(path: Path) -> None:
    """Wait until someone else holds a lock file's lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with path.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        time.sleep(0.01)
    raise AssertionError(f"nobody locks {path.name}")


def test_ordinary_turns_are_side_by_side_and_one_alone_is_alone(tmp_path: Path) -> None:
    entered, order = threading.Event(), []

    def alone() -> None:
        entered.set()
        with turn(tmp_path, alone=True):
            order.append("alone")

    with turn(tmp_path, alone=False), turn(tmp_path, alone=False):
        waiting = threading.Thread(target=alone)
        waiting.start()
        assert entered.wait(10)
        waiting.join(0.1)
        order.append("both")
    waiting.join(10)
    assert order == ["both", "alone"]


def test_who_comes_after_one_that_waits_to_be_alone_queues_behind_it(tmp_path: Path) -> None:
    order: list[str] = []

    def take(name: str, alone: bool) -> None:
        with turn(tmp_path, alone):
            order.append(name)

    with turn(tmp_path, alone=False):
        first = threading.Thread(target=take, args=("alone", True))
        first.start()
        wait_until_locked(tmp_path / "door.lock")
        second = threading.Thread(target=take, args=("later", False))
        second.start()
        second.join(0.2)
        assert order == []
    first.join(10)
    second.join(10)
    assert order == ["alone", "later"]
