"""An agent on stdin and stdout that tells the truth, except for what its mode says.

    python fake_agent.py MODE

A mode is given every frame that the agent is about to send, and says what is sent in its place: nothing,
another frame, bytes that are no frame, or all that for ever. A new one is a line in one of the tables.

Standard library only: it also runs where nothing is installed.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Frame = dict[str, Any]
Mode = Callable[[Frame], Iterable["Frame | bytes"]]

ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202eoverride \ud800 \x00 line\nbreak \u2028 [/x]"
SAMPLES = [1.0 + 0.01 * n for n in range(21)]
ABSENT = object()


# The truth.


def hello() -> Frame:
    inventory = {
        "machine": "x86_64",
        "board": "Fake board",
        "cpu": {"model": "Fake CPU", "logical": 2, "physical": 1},
        "memory_mb": 4096,
        "os": {"system": "Linux", "release": "6.1", "distribution": "debian 12"},
        "python": "3.11.2",
        "runtimes": {"onnxruntime": "1.20.0", "torch": None, "tvm": None, "numpy": "1.26"},
        "governor": None,
        "sensors": ["thermal:zone0"],
        "power_sensors": ["rapl"],
        "temperature_c": 40.5,
        "throttle_flags": None,
    }
    return {"event": "hello", "id": "", "protocol": 1, "agent_version": "0+fake", "inventory": inventory}


def answers(asked: Frame) -> Iterator[Frame]:
    """What a true agent answers."""
    op, identifier = asked.get("op"), asked.get("id")
    if op == "probe":
        providers = ["CPUExecutionProvider"]
        yield {"event": "probe", "id": identifier, "version": "1.20.0", "providers": providers}
    elif op == "sensor":
        yield {"event": "sensor", "id": identifier, "sensor": "rapl:package-0", "reason": None}
    elif op == "ping":
        yield {"event": "pong", "id": identifier, "busy_with": None}
    elif op == "measure":
        progress = {"event": "progress", "id": identifier, "phase": "measure", "n": 5, "elapsed_s": 0.01}
        yield {**progress, "half_width": None}
        yield result(asked)


def result(asked: Frame) -> Frame:
    conditions: Frame = {
        "load_average": 0.5,
        "governor": None,
        "frequency_mhz": 1500.0,
        "max_frequency_mhz": 1500.0,
        "temperature_c": 45.0,
        "throttle_flags": [],
        "throttle_count": None,
    }
    latency = {
        "median_ms": SAMPLES[10],
        "p10_ms": SAMPLES[2],
        "p90_ms": SAMPLES[18],
        "p99_ms": 1.198,
        "mean_ms": 1.1,
        "ci_low_ms": SAMPLES[8],
        "ci_high_ms": SAMPLES[12],
        "half_width": 0.018,
        "n": len(SAMPLES),
        "effective_n": 21.0,
        "block": 1,
        "warmup_n": 5,
        "ended_by": "precision",
        "samples_ms": list(SAMPLES),
    }
    energy = {
        "net_mj": 2.2,
        "net_half_width": None,
        "gross_mj": 4.4,
        "idle_w": 2.0,
        "load_w": 4.0,
        "window_s": 1.1,
        "idle_s": 1.0,
        "n": 1000,
        "updates": 100,
        "rate_hz": 90.0,
        "sensor": "rapl:package-0",
        "quantity": "energy",
    }
    return {
        "event": "result",
        "id": asked.get("id"),
        "status": "ok",
        "latency": latency,
        "memory_mb": 50.0,
        "memory_delta_mb": 10.0,
        "load_time_ms": 5.0,
        "max_abs_diff": 1e-6,
        "before": conditions,
        "after": {**conditions, "competing_load": 0.0},
        "applied": {"threads": 1, "cpus": [0]},
        "preemptions": 0,
        "measure_s": 0.05,
        "warnings": [],
        **({"per_op": [{"op": "Conv", "count": 3, "ms": 0.9}]} if asked.get("per_op") else {}),
        **({"energy": energy} if asked.get("energy") else {}),
        "runtime": {"name": "onnxruntime", "version": "1.20.0"},
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "ended_at": "2026-01-01T00:00:00.050+00:00",
        "wall_s": 0.06,
    }


# What modes are made of.


def lie(path: str, value: Any) -> Mode:
    """The frame whose event begins `path`, with one field changed; ABSENT takes it out."""
    event, *inner, last = path.split(".")

    def say(frame: Frame) -> Iterator[Frame]:
        changed = copy.deepcopy(frame)
        if frame["event"] == event:
            part = changed
            for key in inner:
                part = part[key]
            if value is ABSENT:
                del part[last]
            else:
                part[last] = value
        yield changed

    return say


def instead(event: str, *pieces: Frame | bytes, before: bool = False) -> Mode:
    """Something in place of a frame, or before it. A frame without an id gets that of the true one."""

    def say(frame: Frame) -> Iterator[Frame | bytes]:
        if frame["event"] == event:
            yield from (one if isinstance(one, bytes) else {"id": frame["id"], **one} for one in pieces)
        if frame["event"] != event or before:
            yield frame

    return say


def for_ever(event: str, *pieces: Frame | bytes, pause_s: float = 0.02) -> Mode:
    """The same again and again, in place of a frame."""

    def say(frame: Frame) -> Iterator[Frame | bytes]:
        if frame["event"] != event:
            yield frame
            return
        for piece in itertools.cycle(pieces):
            time.sleep(pause_s)
            yield piece if isinstance(piece, bytes) else {"id": frame["id"], **piece}

    return say


def silent(event: str) -> Mode:
    """Says no more when this frame would come, and lives on."""
    return for_ever(event, b"", pause_s=0.5)


def dies(event: str, message: str = "") -> Mode:
    """Ends when this frame would come, with a last word on stderr."""

    def say(frame: Frame) -> Iterator[Frame]:
        if frame["event"] == event:
            os.write(2, message.encode("utf-8", "surrogatepass"))
            os._exit(3)
        yield frame

    return say


def latency(**fields: Any) -> Mode:
    """Another `latency` object altogether: fields that agree with nothing else."""

    def say(frame: Frame) -> Iterator[Frame]:
        if frame["event"] != "result":
            yield frame
            return
        kept = {name: value for name, value in frame["latency"].items() if name != "samples_ms"}
        yield {**frame, "latency": {**kept, **fields}}

    return say


def nested(depth: int) -> bytes:
    return b'{"event":"result","id":"x","deep":' + b"[" * depth + b"]" * depth + b"}\n"


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# Results that cannot be true: a failed row, exit 1.

LIES: dict[str, Mode] = {
    "no latency": lie("result.latency", ABSENT),
    "null latency": lie("result.latency", None),
    "latency is a list": lie("result.latency", [1.0]),
    "latency is a number": lie("result.latency", 1.0),
    "empty latency": lie("result.latency", {}),
    "no median": lie("result.latency.median_ms", ABSENT),
    "null median": lie("result.latency.median_ms", None),
    "negative median": lie("result.latency.median_ms", -1.0),
    "zero median": lie("result.latency.median_ms", 0),
    "boolean median": lie("result.latency.median_ms", True),
    "text median": lie("result.latency.median_ms", "1.1"),
    "huge median": latency(median_ms=1e12, p90_ms=1e12, ci_high_ms=1e12),
    "median beyond the limit": latency(median_ms=4e4, p90_ms=4e4, ci_high_ms=4e4),
    "many calls beyond the limit": latency(n=10**6),
    "median below the clock": latency(median_ms=1e-12, p10_ms=1e-12, ci_low_ms=0.0),
    "huge whole median": lie("result.latency.median_ms", 10**30),
    "p10 above p90": latency(p10_ms=1.2, p90_ms=1.0, median_ms=1.1),
    "p10 above the median": latency(p10_ms=1.15),
    "p90 below the median": latency(p90_ms=1.05),
    "no p10": lie("result.latency.p10_ms", ABSENT),
    "negative p10": latency(p10_ms=-1.0),
    "p99 below p90": latency(p99_ms=1.0),
    "median outside its interval": latency(ci_low_ms=1.2, ci_high_ms=1.3),
    "interval upside down": latency(ci_low_ms=1.15, ci_high_ms=1.05),
    "half an interval": latency(ci_low_ms=None),
    "text interval": latency(ci_low_ms="low"),
    "no samples counted": lie("result.latency.n", 0),
    "negative n": latency(n=-5),
    "fractional n": latency(n=20.5),
    "boolean n": latency(n=True),
    "no n": lie("result.latency.n", ABSENT),
    "n of other samples": lie("result.latency.n", 20),
    "median of other samples": lie("result.latency.median_ms", 1.11),
    "text samples": lie("result.latency.samples_ms", ["1.0"] * 21),
    "negative samples": lie("result.latency.samples_ms", [-value for value in SAMPLES]),
    "samples without end": lie("result.latency.samples_ms", [1.1] * 60_000),
    "quantiles out of order": latency(quantiles_ms=[1.1 - 0.001 * n for n in range(101)]),
    "three quantiles": latency(quantiles_ms=[1.0, 1.1, 1.2]),
    "wall time shorter than its calls": lie("result.wall_s", 0.0001),
    "wall time longer than it took": lie("result.wall_s", 1e6),
    "negative wall time": lie("result.wall_s", -1.0),
    "text measuring time": lie("result.measure_s", "long"),
    "huge measuring time": lie("result.measure_s", 1e12),
    "negative memory": lie("result.memory_mb", -5.0),
    "zero memory": lie("result.memory_mb", 0),
    "more memory than there is": lie("result.memory_mb", 1e9),
    "more memory than this board has": lie("result.memory_mb", 50_000.0),
    "text memory": lie("result.memory_mb", "50"),
    "negative load time": lie("result.load_time_ms", -5.0),
    "longer load time than since the request": lie("result.load_time_ms", 1e9),
    "outputs far off": lie("result.max_abs_diff", 1e6),
    "outputs a little off": lie("result.max_abs_diff", 0.5),
    "outputs not compared": lie("result.max_abs_diff", None),
    "no word on outputs": lie("result.max_abs_diff", ABSENT),
    "negative difference": lie("result.max_abs_diff", -1e-6),
    "boolean difference": lie("result.max_abs_diff", False),
    "negative energy": lie("result.energy.net_mj", -2.2),
    "zero energy": lie("result.energy.net_mj", 0.0),
    "text energy": lie("result.energy.net_mj", "2.2"),
    "more net than gross energy": lie("result.energy.gross_mj", 1.0),
    "energy of another power": lie("result.energy.load_w", 400.0),
    "megawatts": lie("result.energy", {"net_mj": 1e9, "sensor": "rapl:package-0"}),
    "energy is a list": lie("result.energy", [2.2]),
    "no energy and no reason": lie("result.energy", {"sensor": "rapl:package-0"}),
    "per_op is a number": lie("result.per_op", 5),
    "per_op without times": lie("result.per_op", [{"op": "Conv"}]),
    "negative per_op": lie("result.per_op", [{"op": "Conv", "count": 1, "ms": -1.0}]),
    "text per_op": lie("result.per_op", [{"op": "Conv", "count": "3", "ms": "0.9"}]),
    "per_op of nothing": lie("result.per_op", [{"op": None, "count": 1, "ms": 1.0}]),
    "per_op without end": lie("result.per_op", [{"op": "Conv", "count": 1, "ms": 0.1}] * 5000),
    "temperature is a text": lie("result.after.temperature_c", "hot"),
    "hotter than the sun": lie("result.after.temperature_c", 1e9),
    "conditions are a list": lie("result.after", [1]),
    "warnings are a number": lie("result.warnings", 3),
    "warnings are objects": lie("result.warnings", [{"text": "x"}]),
    "warnings without end": lie("result.warnings", ["w"] * 5000),
    "runtime is a text": lie("result.runtime", "onnxruntime"),
    "no moment": lie("result.started_at", "yesterday"),
    "moment is a number": lie("result.ended_at", 1e9),
    "no status": lie("result.status", ABSENT),
    "status fine": lie("result.status", "fine"),
    "boolean status": lie("result.status", True),
    "status is a list": lie("result.status", ["ok"]),
    "failure without a reason": instead("result", {"event": "result", "status": "error"}),
    "reason is a number": instead("result", {"event": "result", "status": "error", "reason": 5}),
    "reason is a novel": instead("result", {"event": "result", "status": "error", "reason": "x" * 5000}),
    "message is an object": instead(
        "result", {"event": "result", "status": "error", "reason": "crashed", "message": {"a": 1}}
    ),
    "deeply nested": lie("result.more", deep(300)),
    "megabyte of text": lie("result.more", ["x" * 900] * 900),
    "a field of many bits": lie("result.more", 10**39),
    "escapes in the reason": instead("result", {"event": "result", "status": "error", "reason": ESCAPES}),
}

# Failures and additions that are told honestly, though in words that a terminal would obey: exit 0 or 1.

WORDS: dict[str, Mode] = {
    "escapes in a failure's message": instead(
        "result", {"event": "result", "status": "error", "reason": "crashed", "message": ESCAPES}
    ),
    "figures in a failure": lie("result.status", "error"),
    "escapes in warnings": lie("result.warnings", [ESCAPES]),
    "escapes in the runtime's version": lie("probe.version", ESCAPES),
    "escapes in the sensor's name": lie("sensor.sensor", ESCAPES),
    "escapes in the sensor's absence": instead(
        "sensor", {"event": "sensor", "sensor": None, "reason": ESCAPES}
    ),
    "escapes in the inventory": lie("hello.inventory.board", ESCAPES),
    "escapes in an operator's name": lie("result.per_op", [{"op": ESCAPES, "count": 1, "ms": 1.0}]),
    "escapes in an energy's absence": lie("result.energy", {"sensor": "rapl:package-0", "reason": ESCAPES}),
    "escapes in an unknown field": lie("result.more", {ESCAPES: ESCAPES}),
    "operators that take no time": lie("result.per_op", [{"op": "Conv", "count": 1, "ms": 0.0}]),
}

# Not a conversation: exit 3.

BREAKS: dict[str, Mode] = {
    "no protocol": lie("hello.protocol", ABSENT),
    "boolean protocol": lie("hello.protocol", True),
    "absurd protocol": lie("hello.protocol", int("9" * 39)),
    "protocol of a million digits": instead(
        "hello", b'{"event":"hello","id":"","protocol":' + b"9" * 10**6 + b"}\n"
    ),
    "protocol is an object": lie("hello.protocol", {"a": ESCAPES}),
    "no agent version": lie("hello.agent_version", ABSENT),
    "agent version is a list": lie("hello.agent_version", [1]),
    "agent version without end": lie("hello.agent_version", "9" * 500_000),
    "no inventory": lie("hello.inventory", ABSENT),
    "inventory is a list": lie("hello.inventory", [1, 2]),
    "inventory is a text": lie("hello.inventory", "board"),
    "inventory without a machine": lie("hello.inventory", {}),
    "cpu is a text": lie("hello.inventory.cpu", "fast"),
    "os is a list": lie("hello.inventory.os", ["linux"]),
    "memory is negative": lie("hello.inventory.memory_mb", -1),
    "sensors are a number": lie("hello.inventory.power_sensors", 7),
    "sensors are objects": lie("hello.inventory.power_sensors", [{}]),
    "deep inventory": lie("hello.inventory.more", deep(400)),
    "probe without a version": lie("probe.version", ABSENT),
    "probe version is an object": lie("probe.version", {"a": 1}),
    "providers are a text": lie("probe.providers", "CPUExecutionProvider"),
    "providers are numbers": lie("probe.providers", [1, 2]),
    "other providers": lie("probe.providers", [ESCAPES]),
    "sensor is a number": lie("sensor.sensor", 5),
    "sensor is an object": lie("sensor.sensor", {"name": "rapl"}),
    "result in place of a probe": instead("probe", {"event": "result", "status": "ok"}),
    "probe in place of a result": instead("result", {"event": "probe", "version": "1"}),
    "unknown event": instead("result", {"event": "surprise"}),
    "unknown event in escapes": instead("result", {"event": ESCAPES}),
    "refusal": instead("result", {"event": "error", "reason": "busy", "message": "in use"}),
    "refusal in escapes": instead("result", {"event": "error", "reason": ESCAPES, "message": ESCAPES}),
    "refusal without a reason": instead("result", {"event": "error"}),
    "refusal with objects": instead("result", {"event": "error", "reason": {}, "message": []}),
    "refusal in a megabyte": instead("result", {"event": "error", "reason": "busy", "message": "m" * 10**6}),
    "progress of texts": lie("progress.n", "many"),
    "progress of nothing": lie("progress.phase", {}),
    "a list": instead("result", b"[1, 2]\n"),
    "a number": instead("result", b"17\n"),
    "null": instead("result", b"null\n"),
    "garbage": instead("result", b"garbage\n"),
    "escaping garbage": instead("hello", b"\x1b[31m\x1b]0;title\x07\n"),
    "bytes that are no text": instead("result", b"\xff\xfe\x80\n"),
    "NaN": instead("result", b'{"event":"result","latency":NaN}\n'),
    "Infinity": instead("result", b'{"event":"result","latency":-Infinity}\n'),
    "1e400": instead("result", b'{"event":"result","latency":1e400}\n'),
    "nested beyond the stack": instead("result", nested(200_000)),
    "the same key twice": instead("result", b'{"event":"result","status":"error","status":"ok"}\n'),
    "a line of two megabytes": instead("result", b"x" * (2 << 20) + b"\n"),
    "death before the greeting": dies("hello", "cannot start"),
    "death at the probe": dies("probe", "no memory"),
    "death at the result": dies("result"),
    "death in escapes": dies("result", ESCAPES),
    "death with a megabyte to say": dies("result", "word " * 200_000),
}

# What would go on for ever: exit 3 when the limit has passed.

ENDLESS: dict[str, Mode] = {
    "no greeting": silent("hello"),
    "greetings of others for ever": for_ever("hello", {"event": "hello", "id": "another"}),
    "a greeting byte by byte": for_ever("hello", b"{"),
    "no probe": silent("probe"),
    "progress of a probe for ever": for_ever("probe", {"event": "progress", "n": 1}),
    "no sensor": silent("sensor"),
    "no result": silent("result"),
    "progress for ever": for_ever("result", {"event": "progress", "phase": "measure", "n": 1}),
    "progress without a pause": for_ever("result", {"event": "progress", "n": 1}, pause_s=0.0),
    "pending for ever": for_ever("result", {"event": "pending"}),
    "pending without a pause": for_ever("result", {"event": "pending"}, pause_s=0.0),
    "pongs for ever": for_ever("result", {"event": "pong", "id": "host-probe"}),
    "other requests' frames for ever": for_ever("result", {"event": "result", "id": "another"}, pause_s=0.0),
    "greetings for ever": for_ever("result", {"event": "hello", "id": ""}),
    "a result byte by byte": for_ever("result", b"x"),
    "nested to the stack": instead("result", nested(900)),
    "half a frame": instead("result", b'{"event":"result","id":'),
    "empty lines for ever": for_ever("result", b"\n", pause_s=0.0),
    "numbers in place of events": for_ever("result", {"event": 5}),
    "progress, then nothing": for_ever("result", {"event": "progress", "n": 1}, *[b""] * 10**6),
}

TRUTH = "truth"
MODES: dict[str, Mode] = {TRUTH: lambda frame: [frame], **LIES, **WORDS, **BREAKS, **ENDLESS}


def serve(mode: Mode, always: bool = False) -> None:
    """Greet and answer until stdin ends.

    `always`: also about the host's control network, with which it tells a network's fault from an agent's.
    """
    _say(mode, hello())
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        truthful = not always and is_about_the_control(asked)
        for frame in answers(asked):
            _say(_as_it_is if truthful else mode, frame)


def is_about_the_control(asked: Frame) -> bool:
    """The control is measured less exactly than anything else (see `harness.measure.control`)."""
    return asked.get("op") == "measure" and asked["protocol"].get("precision") == 0.3


def _as_it_is(frame: Frame) -> Iterable[Frame | bytes]:
    return [frame]


def _say(mode: Mode, frame: Frame) -> None:
    for piece in mode(frame):
        data = piece if isinstance(piece, bytes) else json.dumps(piece).encode() + b"\n"
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    try:
        serve(MODES[sys.argv[1]])
    except BrokenPipeError:
        os._exit(0)
