"""Any JSON value as a frame, and any change to a true frame: typed errors, and no figures that disagree."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import fake_agent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modnas_agent.wire.protocol import FrameReader, ProtocolError, encode

from harness.agent.frames import (
    Failed,
    FrameError,
    Measured,
    Pong,
    Probe,
    Progress,
    Refusal,
    Sensor,
    parse,
    parse_hello,
)
from harness.agent.plausibility import judged
from harness.core.errors import DeviceUnavailableError

MODELS = (Probe, Sensor, Pong, Progress, Refusal, Measured, Failed)
REQUEST: dict[str, Any] = {
    "id": "r",
    "op": "measure",
    "expected": [0.5, -3.0],
    "tolerance": 1e-3,
    "per_op": True,
    "energy": {},
    "protocol": {"timeout_s": 5.0},
}
TRUTH = fake_agent.result(REQUEST)
ELAPSED_S, MEMORY_MB = 0.5, 4096.0
#: What a liar or a broken board would put in a field.
NUMBERS = [-1, 0, 1, 2, 21, 1e-300, 0.5, 1.1, 1e6, 1e12, 1e308, -1e308, 2**63, -(2**70)]
TEXTS = ["", "ok", "error", "1.1", "\x1b[31m", "\ud800", "x" * 5000]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, *NUMBERS, *TEXTS, [], {}, [1.1] * 3, [[]], {"a": {}}]
)
VALUES = st.recursive(
    ODD | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(path for key, item in inner for path in paths(item, (*above, key)))]


PATHS = paths(TRUTH)[1:]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The true result with one thing changed."""
    frame = copy.deepcopy(TRUTH)
    part: Any = frame
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return frame


def check_agrees(found: dict[str, Any]) -> None:
    """What is stored as `ok`, checked once more in the plainest words."""
    latency, n = found["latency"], found["latency"]["n"]
    numbers = [latency["p10_ms"], latency["median_ms"], latency["p90_ms"]]
    assert all(type(value) in (int, float) and math.isfinite(value) and value > 0 for value in numbers)
    assert numbers == sorted(numbers) and type(n) is int and n >= 1
    low, high = latency.get("ci_low_ms"), latency.get("ci_high_ms")
    assert (low is None) == (high is None)
    assert low is None or low <= latency["median_ms"] <= high
    samples = latency.get("samples_ms")
    assert samples is None or (len(samples) == n and abs(sorted(samples)[n // 2] - numbers[1]) < 1e-4)
    assert 0 <= found["max_abs_diff"] <= 1e-3 * 3.0 * (1 + 1e-6)
    memory_mb = found.get("memory_mb")
    assert memory_mb is None or 0 < memory_mb <= 2 * MEMORY_MB
    energy = found.get("energy") or {}
    assert energy.get("net_mj") is None or 0 < energy["net_mj"] <= energy.get("gross_mj", math.inf)
    assert n * latency["median_ms"] / 2e3 < 5.5
    text = json.dumps(found, allow_nan=False)
    assert len(text) < 100_000 and "\\u001b" not in text and "\\ud800" not in text


@pytest.mark.slow
@given(VALUES)
def test_any_value_is_a_frame_or_a_typed_error(value: Any) -> None:
    frame = value if isinstance(value, dict) else {"event": "result", "status": "ok", "latency": value}
    for model in MODELS:
        try:
            parse(model, frame)
        except FrameError as error:
            assert str(error).isprintable() and len(str(error)) < 1500
    with pytest.raises(DeviceUnavailableError):
        parse_hello(frame)
    for status in ("ok", "error"):
        found = judged({**frame, "event": "result", "status": status}, REQUEST, ELAPSED_S, MEMORY_MB)
        assert found["status"] == "error", "none of them has a latency"


@given(st.sampled_from(PATHS), VALUES)
def test_one_thing_changed(path: tuple[Any, ...], value: Any) -> None:
    found = judged(changed(path, value), REQUEST, ELAPSED_S, MEMORY_MB)
    if found["status"] == "ok":
        check_agrees(found)
    else:
        assert found["message"] is None or found["message"].isprintable()
        assert "latency" not in found


@given(st.sampled_from(paths(fake_agent.hello())[1:]), VALUES)
def test_one_thing_changed_in_a_greeting(path: tuple[Any, ...], value: Any) -> None:
    frame = fake_agent.hello()
    part: Any = frame
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    try:
        greeting = parse_hello(frame)
    except DeviceUnavailableError as error:
        assert str(error).isprintable()
    else:
        assert isinstance(greeting.inventory.machine, str)
        json.dumps(greeting.model_dump(), allow_nan=False).encode("ascii")


@given(st.binary(max_size=60), st.integers(0, 5))
def test_the_stream_itself(garbage: bytes, cut: int) -> None:
    line = encode({"event": "pong"})
    reader = FrameReader()
    for frame in [*reader.feed(line[:cut] + garbage), *reader.feed(b"\n" + line)]:
        assert isinstance(frame, (dict, ProtocolError))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_what_is_taken_out_is_missed_or_not_needed(path: tuple[Any, ...]) -> None:
    frame = copy.deepcopy(TRUTH)
    part: Any = frame
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    found = judged(frame, REQUEST, ELAPSED_S, MEMORY_MB)
    if found["status"] == "ok":
        check_agrees(found)


def test_the_truth_passes_as_it_is() -> None:
    found = judged(TRUTH, REQUEST, ELAPSED_S, MEMORY_MB)
    assert found == TRUTH
