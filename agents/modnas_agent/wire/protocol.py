"""The wire format: JSON objects, one a line, UTF-8, with a size limit."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, Mapping

PROTOCOL_VERSION = 1
#: Longest frame in bytes, its newline included.
MAX_FRAME_BYTES = 1 << 20
#: Longest whole number, in characters. Python takes seconds to read one of a million digits.
MAX_DIGITS = 40

Frame = Dict[str, Any]


class ProtocolError(ValueError):
    """A line that is not a frame: too long, not JSON, or not an object."""


def encode(frame: Mapping[str, Any]) -> bytes:
    """One line for `frame`, newline included. NaN and infinity are not JSON and are refused."""
    try:
        text = json.dumps(frame, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"not representable as JSON: {error}") from error
    line = text.encode("ascii") + b"\n"
    if len(line) > MAX_FRAME_BYTES:
        raise ProtocolError(f"frame of {len(line)} bytes, the limit is {MAX_FRAME_BYTES}")
    return line


def decode(line: bytes) -> Frame:
    """The frame in `line`, with or without its newline; what readers could take differently is refused."""
    if len(line) > MAX_FRAME_BYTES:
        raise ProtocolError(f"frame of more than {MAX_FRAME_BYTES} bytes")
    try:
        frame = json.loads(
            line.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(frame, dict):
        raise ProtocolError(f"not a JSON object but {type(frame).__name__}")
    return frame


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same key twice")
    return made


class FrameReader:
    """Cuts a byte stream into frames. A bad line is reported once and skipped; the stream goes on."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame | ProtocolError]:
        """Frames and errors that `data` completes, in order."""
        found: list[Frame | ProtocolError] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._append(piece, found)
            if not self._skipping and self._buffer.strip():
                found.append(_decode_or_error(bytes(self._buffer)))
            self._buffer.clear()
            self._skipping = False
        self._append(rest, found)
        return found

    def _append(self, piece: bytes, found: list[Frame | ProtocolError]) -> None:
        if self._skipping:
            return
        self._buffer += piece
        if len(self._buffer) >= MAX_FRAME_BYTES:
            found.append(ProtocolError(f"frame of more than {MAX_FRAME_BYTES} bytes"))
            self._buffer.clear()
            self._skipping = True


def _decode_or_error(line: bytes) -> Frame | ProtocolError:
    try:
        return decode(line)
    except ProtocolError as error:
        return error
