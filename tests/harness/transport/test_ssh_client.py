"""Connecting to a board that begins to answer while it is being asked."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from harness.transport import ssh_client
from harness.transport.ssh_address import Address

BOARD = Address("board", 22, "me", (), ())


def test_a_board_that_comes_back_is_noticed_at_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    def create(_address: tuple[str, int], timeout: float) -> Any:
        tries.append(timeout)
        if len(tries) < 3:
            raise TimeoutError
        return "connected"

    monkeypatch.setattr(socket, "create_connection", create)
    assert ssh_client._dial(BOARD, 20.0) == "connected"
    assert all(timeout <= ssh_client.DIAL_S for timeout in tries)


@pytest.mark.exclusive
def test_a_board_that_stays_away_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(_address: tuple[str, int], timeout: float) -> Any:
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", create)
    monkeypatch.setattr(ssh_client, "DIAL_S", 0.1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ssh_client._dial(BOARD, 0.35)
    assert 0.3 <= time.monotonic() - began < 2.0
