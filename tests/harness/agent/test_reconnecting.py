"""The transport that outlives its link, over links that break when the test says so."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness_helpers import latency
from modnas_agent.wire.protocol import PROTOCOL_VERSION

from harness.agent import reconnecting
from harness.agent.client import AgentClient
from harness.agent.reconnecting import MAX_LOSSES, ReconnectingTransport
from harness.core.errors import DeviceUnavailableError
from harness.transport.base import Frame, TransportClosedError, TransportTimeoutError
from harness.transport.ssh_client import time_limit

#: What is answered to requests that measure nothing.
TOLD: dict[str, Frame] = {
    "sensor": {"event": "sensor", "sensor": "rapl:package-0", "reason": None},
    "probe": {"event": "probe", "version": "1", "providers": []},
    "ping": {"event": "pong", "busy_with": None},
}
MEASURED = {"status": "ok", "latency": latency(1.0)}


class Board:
    """Agents that share a journal; `breaks` says after how many frames each link ends."""

    def __init__(self, *breaks: int, machine: str = "m") -> None:
        self.breaks = deque(breaks)
        self.measured: list[str] = []
        self.requests: list[Frame] = []
        self.journal: dict[str, Frame] = {}
        self.opened = 0
        self.machine = machine
        self.refusing = 0
        self.greeting = "hello"
        self.chatter: str | None = None
        #: The next request is not taken: the link is gone by then.
        self.deaf = False

    def open(self, timeout_s: float) -> Any:
        assert timeout_s > 0
        if self.refusing:
            self.refusing -= 1
            raise DeviceUnavailableError("refused")
        self.opened += 1
        return Link(self, self.breaks.popleft() if self.breaks else 10**6)


class Link:
    """One agent: measures at once, and journals before it answers."""

    def __init__(self, board: Board, frames: int) -> None:
        self._board, self._left = board, frames
        self.heard_at = time.monotonic()
        greeting = {"event": board.greeting, "id": "", "protocol": PROTOCOL_VERSION, "agent_version": "1"}
        self._waiting: deque[Frame] = deque([{**greeting, "inventory": {"machine": board.machine}}])

    def send(self, frame: Mapping[str, Any]) -> None:
        if self._board.deaf:
            self._board.deaf = False
            self._left = 0
            raise TransportClosedError("the link broke while sending")
        self._board.requests.append(dict(frame))
        identifier = frame["id"]
        if frame["op"] in TOLD:
            self._waiting.append({"id": identifier, **TOLD[frame["op"]]})
        if frame["op"] == "measure":
            if identifier not in self._board.journal:
                self._board.measured.append(identifier)
                self._board.journal[identifier] = {"event": "result", "id": identifier, **MEASURED}
            self._waiting.append(self._board.journal[identifier])
            if self._board.chatter:
                self._waiting[-1] = {"event": self._board.chatter, "id": identifier}

    def receive(self, timeout_s: float) -> Frame:
        if self._left == 0:
            raise TransportClosedError("the link broke")
        if not self._waiting:
            raise TransportTimeoutError("silence")
        self._left -= 1
        if self._waiting[0]["event"] == self._board.chatter:
            time.sleep(0.001)
            return self._waiting[0]  # again and again
        return self._waiting.popleft()

    def put(self, path: Path) -> str:
        if self._left == 0:
            raise TransportTimeoutError("the link broke while uploading")
        return path.name

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "RETRY_PAUSE_S", 0.001)


def client_of(board: Board, patience_s: float = 26.0) -> AgentClient:
    return AgentClient(ReconnectingTransport(board.open, patience_s))  # type: ignore[arg-type]


def test_result_is_fetched_after_the_link_broke() -> None:
    board = Board(1)  # the greeting arrives, the result does not
    client = client_of(board)
    assert client.measure({"protocol": {"timeout_s": 7.0}}, 5.0)["status"] == "ok"
    first, again = board.requests
    assert first["id"] == again["id"] and len(board.measured) == 1, "asked again, not measured again"
    assert "lock_wait_s" not in first and again["lock_wait_s"] > 7.0, "an agent may still hold the board"
    assert board.opened == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.sensor({"sensor": "auto"}, {})["sensor"] == "rapl:package-0",
        lambda client: client.probe("onnxruntime")["version"] == "1",
        lambda client: client.ping()["busy_with"] is None,
        lambda client: client.measure({}, 5.0)["status"] == "ok",
    ],
    ids=["sensor", "probe", "ping", "measure"],
)
@pytest.mark.parametrize("breaks", ["before it is sent", "before it is answered"])
def test_every_request_is_repeated(ask: Callable[[AgentClient], bool], breaks: str) -> None:
    board = Board(1, 1)
    client = client_of(board)
    board.deaf = breaks == "before it is sent"
    assert ask(client)
    assert {request["id"] for request in board.requests} == {board.requests[0]["id"]}
    assert board.opened == 3 and len(board.measured) <= 1


def test_what_was_given_up_is_not_repeated(tmp_path: Path) -> None:
    board = Board(1)
    client = client_of(board, patience_s=0.0)
    board.refusing = 1
    with pytest.raises(TransportClosedError):
        client.measure({}, 5.0)
    board.requests.clear()
    assert client.sensor({"sensor": "auto"}, {})["sensor"] is not None
    assert [request["op"] for request in board.requests] == ["sensor"]
    board = Board(1)
    transport = ReconnectingTransport(board.open, 26.0)  # type: ignore[arg-type]
    AgentClient(transport)
    transport.send({"op": "measure", "id": "r"})
    assert transport.put(tmp_path / "file") == "file"
    assert len(board.requests) == 1 and board.opened == 2, "nobody waits for it while a file is brought"


@pytest.mark.parametrize("deaf", [False, True], ids=["while it is waited for", "while it is sent"])
def test_a_lost_link_is_looked_for_within_the_time_of_the_request(deaf: bool) -> None:
    board = Board(1)
    client = client_of(board, patience_s=60.0)
    board.refusing, board.deaf = 10**9, deaf
    began = time.monotonic()
    with pytest.raises(TransportTimeoutError, match=r"before the request's time was over.*refused"):
        client.ping(0.3)
    assert time.monotonic() - began < 3.0


def test_board_that_refuses_for_a_while() -> None:
    board = Board(1)
    client = client_of(board)
    board.refusing = 5
    assert client.measure({}, 5.0)["status"] == "ok"


def test_board_that_stays_away_is_given_up_with_the_reasons() -> None:
    board = Board(1)
    client = client_of(board, patience_s=0.0)
    board.refusing = 10**6
    with pytest.raises(TransportClosedError, match=r"the link broke; not reached again within 0 s.*refused"):
        client.measure({}, 5.0)


def test_request_that_kills_its_agent_each_time() -> None:
    board = Board(1, *[1] * 10)
    with pytest.raises(TransportClosedError, match=f"lost {MAX_LOSSES + 1} times in a row"):
        client_of(board).measure({}, 5.0)
    assert len(board.measured) == 1


def test_link_that_breaks_after_each_progress() -> None:
    board = Board(*[2] * 20)
    board.chatter = "progress"
    with pytest.raises(TransportClosedError, match=f"lost {MAX_LOSSES + 1} times in a row"):
        client_of(board).measure({}, 5.0)


def test_pending_for_ever_is_no_answer() -> None:
    board, began = Board(), time.monotonic()
    board.chatter = "pending"
    transport = ReconnectingTransport(board.open, 26.0)  # type: ignore[arg-type]
    transport.receive(5.0)
    transport.send({"op": "measure", "id": "r"})
    with pytest.raises(TransportTimeoutError, match="no answer"):
        transport.receive(0.2)
    assert time.monotonic() - began < 5.0


@pytest.mark.slow
def test_agent_that_says_anything_but_hello_when_it_is_back() -> None:
    board, began = Board(1), time.monotonic()
    client = client_of(board, patience_s=0.0)
    board.greeting, board.chatter = "log", "log"
    with pytest.raises(TransportClosedError, match="did not greet"):
        client.measure({}, 5.0)
    assert time.monotonic() - began < 10.0


def test_losses_count_from_the_last_result() -> None:
    board = Board(*[2] * 8)  # each link brings its greeting and one result
    client = client_of(board)
    for _ in range(8):
        assert client.measure({}, 5.0)["status"] == "ok"


def test_another_board_in_its_place_is_refused() -> None:
    board = Board(1)
    client = client_of(board, patience_s=0.0)
    board.machine = "another"
    with pytest.raises(TransportClosedError, match="another machine"):
        client.measure({}, 5.0)
    assert len(board.measured) == 1


def test_upload_is_repeated_on_a_new_link(tmp_path: Path) -> None:
    board = Board(1)
    transport = ReconnectingTransport(board.open, 26.0)  # type: ignore[arg-type]
    AgentClient(transport)
    assert transport.put(tmp_path / "file") == "file" and board.opened == 2


def test_agent_that_never_spoke_is_not_waited_for() -> None:
    board = Board(0)
    with pytest.raises(TransportClosedError, match=r"the link broke$"):
        client_of(board)
    assert board.opened == 1


def test_time_limit_ends_a_block_that_waits_for_ever() -> None:
    stop = threading.Event()
    with (
        pytest.raises(TransportTimeoutError, match="waiting took more than 0 s"),
        time_limit(0.05, "waiting", stop.set),
    ):
        assert stop.wait(20)


def test_time_limit_passes_what_ends_in_time() -> None:
    stop = threading.Event()
    with pytest.raises(ZeroDivisionError), time_limit(20, "waiting", stop.set):
        raise ZeroDivisionError
    with time_limit(20, "waiting", stop.set):
        pass
    assert not stop.is_set()
