"""Calls on threads, each of which ends in exactly one way and is told of where `turn` is called."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from modnas_agent.background import Background


class Gate:
    """Work that lasts until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self) -> str:
        assert self._open.wait(30)
        return "done"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


class Told:
    """What was told, and by which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def as_(self, name: str) -> Callable[[object], None]:
        def note(value: object) -> None:
            assert threading.current_thread() is threading.main_thread()
            self.calls.append((name, str(value)))

        return note


def turn_until(background: Background, told: Told, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(told.calls) < count and time.monotonic() < deadline:
        until = background.deadline
        select.select([background], [], [], 1.0 if until is None else max(0.0, until - time.monotonic()))
        background.turn()
    assert len(told.calls) == count, told.calls


def test_a_value_and_an_error_are_told(gate: Gate) -> None:
    background, told = Background(2), Told()
    gate.open()
    background.start(gate, told.as_("then"), told.as_("failed"), 10.0)
    turn_until(background, told, 1)
    background.start(lambda: 1 // 0, told.as_("then"), told.as_("failed"), 10.0)
    turn_until(background, told, 2)
    assert told.calls == [("then", "done"), ("failed", "integer division or modulo by zero")]
    assert background.deadline is None and not select.select([background], [], [], 0)[0]


def test_what_takes_too_long_fails_once_and_is_late_then(gate: Gate) -> None:
    background, told = Background(2), Told()
    background.start(gate, told.as_("then"), told.as_("failed"), 0.05, told.as_("late"))
    turn_until(background, told, 1)
    assert told.calls == [("failed", "did not answer within 0.05 s")] and background.deadline is None
    gate.open()
    turn_until(background, told, 2)
    assert told.calls[1:] == [("late", "done")]


def test_what_is_forgotten_is_late(gate: Gate) -> None:
    background, told = Background(2), Told()
    background.start(gate, told.as_("then"), told.as_("failed"), 0.05, told.as_("late")).forget()
    assert background.deadline is None, "nobody waits"
    time.sleep(0.1)
    background.turn()
    assert told.calls == []
    gate.open()
    turn_until(background, told, 1)
    assert told.calls == [("late", "done")]


def test_no_more_than_so_many_at_once(gate: Gate) -> None:
    background, told = Background(1), Told()
    background.start(gate, told.as_("then"), told.as_("failed"), 0.05)
    for _ in range(2):
        background.start(gate, told.as_("then"), told.as_("failed"), 10.0)
        assert not told.calls or told.calls[-1][0] == "failed", "never told before its turn"
    turn_until(background, told, 3)
    assert [name for name, _ in told.calls] == ["failed"] * 3
    assert "1 earlier calls have not ended" in str(told.calls[0][1])
    gate.open()
    deadline = time.monotonic() + 10
    while told.calls[-1][0] == "failed" and time.monotonic() < deadline:
        select.select([background], [], [], 1.0)
        background.turn()
        background.start(gate, told.as_("then"), told.as_("failed"), 10.0)
    assert told.calls[-1] == ("then", "done"), "there is room again"


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch, gate: Gate) -> None:
    background, told = Background(1), Told()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    background.start(gate, told.as_("then"), told.as_("failed"), 10.0)
    turn_until(background, told, 1)
    assert told.calls == [("failed", "can't start new thread")]
