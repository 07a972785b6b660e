"""The codec: what goes in comes out, and nothing that arrives can break the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modnas_agent.wire.protocol import MAX_FRAME_BYTES, FrameReader, ProtocolError, decode, encode

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
frames = st.dictionaries(st.text(), values, max_size=5)


@given(frames)
def test_a_frame_survives_the_wire_on_one_line(frame: dict[str, object]) -> None:
    line = encode(frame)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode(line) == frame


@given(st.lists(frames, max_size=4), st.data())
def test_frames_are_found_however_the_stream_is_cut(
    sent: list[dict[str, object]], data: st.DataObject
) -> None:
    stream = b"".join(encode(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = FrameReader()
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[begin:end])
    assert found == sent


@given(st.binary(max_size=200))
def test_garbage_gives_protocol_errors_and_the_next_frame_is_read(garbage: bytes) -> None:
    reader = FrameReader()
    found = reader.feed(garbage + b"\n" + encode({"op": "ping"}))
    assert found[-1] == {"op": "ping"}


NOT_JSON = [b"{", b"\xff\xfe", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000]
AMBIGUOUS = [b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'{"a":' + b"9" * 50 + b"}"]


@pytest.mark.parametrize("line", [b"[1]", b"1", b'"x"', b"null", *NOT_JSON, *AMBIGUOUS])
def test_what_is_not_an_object_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)


def test_an_overlong_line_is_reported_once_and_skipped() -> None:
    reader = FrameReader()
    found = []
    for _ in range(5):
        found += reader.feed(b"x" * (MAX_FRAME_BYTES // 2))
    found += reader.feed(b"rest\n" + encode({"op": "ping"}))
    assert len(found) == 2
    assert isinstance(found[0], ProtocolError)
    assert found[1] == {"op": "ping"}


def test_the_limit_holds_both_ways_and_to_the_byte() -> None:
    room = MAX_FRAME_BYTES - len(encode({"a": ""}))
    longest = encode({"a": "x" * room})
    assert len(longest) == MAX_FRAME_BYTES
    assert FrameReader().feed(longest) == [{"a": "x" * room}]
    with pytest.raises(ProtocolError, match="limit"):
        encode({"a": "x" * (room + 1)})
    assert isinstance(FrameReader().feed(longest[:-3] + b'x"}\n')[0], ProtocolError)


def test_values_that_json_lacks_are_refused() -> None:
    with pytest.raises(ProtocolError):
        encode({"a": float("nan")})
    with pytest.raises(ProtocolError):
        encode({"a": object()})
