"""The greeting is found whatever a login shell says before it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modnas_agent.wire.protocol import ProtocolError, encode

from harness.transport.greeting import MAX_BEFORE_BYTES, GreetingReader

HELLO: dict[str, Any] = {"event": "hello", "id": "", "protocol": 1, "inventory": {"os": {"system": "Linux"}}}
PONG = {"event": "pong", "id": "p"}
BEFORE = {
    "nothing": b"",
    "a title without a newline": b"\x1b]0;pi@raspberrypi: ~\x07",
    "a title and lines": b"Hi!\n{]\n\n\x1b]0;pi\x07",
    "a hundred lines": b"50 updates can be installed\n" * 100,
    "an open brace": b'{"a": ',
    "half a greeting": b'{"event":"hello","id":',
    "bytes that are no text": b"\xff\x00\xfe",
    "carriage returns": b"loading 10 %\rloading 90 %\r",
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("greeting", [encode(HELLO), json.dumps(HELLO).encode() + b"\n"], ids=["", "spaced"])
def test_the_greeting_is_found_behind_it(before: bytes, size: int, greeting: bytes) -> None:
    reader, stream = GreetingReader(), before + greeting + encode(PONG)
    found = [frame for at in range(0, len(stream), size) for frame in reader.feed(stream[at : at + size])]
    assert found == [HELLO, PONG] and reader.greeted


@pytest.mark.parametrize("said", [b"x", b"50 updates can be installed\n"])
def test_half_a_megabyte_before_it_does_no_harm(said: bytes) -> None:
    before = said * ((1 << 19) // len(said))
    assert GreetingReader().feed(before + encode(HELLO)) == [HELLO]


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_whatever_is_said_before_the_frames_come_in_order(before: list[bytes]) -> None:
    found = GreetingReader().feed(b"\n".join([*before, encode(HELLO), encode(PONG)]))
    assert found[-2:] == [HELLO, PONG]
    assert not any(isinstance(frame, ProtocolError) for frame in found)


@pytest.mark.parametrize("said", [b"y\n", b"x", b"{", b'{"event":"hello"', b"{}\n"])
def test_one_that_never_greets_is_not_listened_to_for_ever(said: bytes) -> None:
    reader, heard = GreetingReader(), 0
    chunk = said * ((1 << 16) // len(said))
    errors: list[ProtocolError] = []
    while not errors:
        errors = [frame for frame in reader.feed(chunk) if isinstance(frame, ProtocolError)]
        heard += len(chunk)
        assert heard <= MAX_BEFORE_BYTES + 2 * len(chunk)
    assert not reader.greeted


def test_after_the_greeting_nothing_is_skipped() -> None:
    reader = GreetingReader()
    assert reader.feed(b"hi" + encode(HELLO)) == [HELLO]
    error, pong = reader.feed(b"garbage\n" + encode(PONG))
    assert isinstance(error, ProtocolError) and pong == PONG
