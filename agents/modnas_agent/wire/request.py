"""The `measure` request, checked field by field before anything acts on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

MAX_ID_LENGTH = 200
#: Type of an input -> the least and the greatest value it may be filled with. Readers of JSON agree on whole
#: numbers up to 2**53 only.
LIMITS = {
    "float16": (-65504.0, 65504.0),
    "float32": (-3.4e38, 3.4e38),
    "float64": (-3.4e38, 3.4e38),
    "bool": (0, 1),
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**53), 2**53),
}


class RequestError(ValueError):
    """A request that cannot be carried out as written; the message names the field."""


@dataclass(frozen=True)
class InputSpec:
    """One input of a network; `limits`: the least and the greatest value it is filled with, None for a type's
    usual ones (see `modnas_agent.wire.fill`).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Timing:
    """When to stop warming up and measuring. `precision` is relative; the times are seconds."""

    precision: float = 0.01
    max_time_s: float = 2.0
    min_time_s: float = 0.1
    warmup_s: float = 0.5
    min_samples: int = 20


@dataclass(frozen=True)
class EnergyRequest:
    """Which sensor to use, and how long the window is at least and at most, in seconds."""

    sensor: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    window_s: float = 2.0
    max_window_s: float = 30.0


@dataclass(frozen=True)
class WindowPlan:
    """What the worker does: infer for `lead_s`, for the window, and for `lead_s` again."""

    lead_s: float
    window_s: float

    @property
    def total_s(self) -> float:
        """How long that takes."""
        return 2.0 * self.lead_s + self.window_s


@dataclass(frozen=True)
class MeasureRequest:
    """What to measure and how. `options` belong to the backend, apart from `threads` and `affinity`.

    `energy` is the host's wish, `window` what the agent makes of it for the worker.
    """

    id: str
    artifact_path: str
    artifact_sha256: str
    backend: str
    options: Mapping[str, Any]
    inputs: tuple[InputSpec, ...]
    expected: list[float] | None
    tolerance: float
    per_op: bool = False
    timing: Timing = field(default_factory=Timing)
    timeout_s: float = 60.0
    memory_limit_mb: float | None = None
    lock_wait_s: float = 30.0
    energy: EnergyRequest | None = None
    window: WindowPlan | None = None


def request_id(frame: Mapping[str, Any], key: str = "id") -> str:
    """The request id under `key`."""
    value = frame.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH:
        raise RequestError(f"{key}: a string of 1 to {MAX_ID_LENGTH} characters is needed")
    return value


def parse_measure(frame: Mapping[str, Any]) -> MeasureRequest:
    """A `measure` frame as a `MeasureRequest`; raises `RequestError`."""
    artifact = _object(frame, "artifact")
    backend = _object(frame, "backend")
    protocol = _object(frame, "protocol", optional=True)
    options = _object(backend, "options", optional=True)
    _check_placement(options)
    sha256 = _text(artifact, "sha256").lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise RequestError("artifact.sha256: 64 hexadecimal digits are needed")
    limit = protocol.get("memory_limit_mb")
    return MeasureRequest(
        id=request_id(frame),
        artifact_path=_text(artifact, "path"),
        artifact_sha256=sha256,
        backend=_text(backend, "name"),
        options=options,
        inputs=_inputs(frame.get("inputs", [])),
        expected=_expected(frame.get("expected")),
        tolerance=_number(frame, "tolerance", 1e-3, 0.0, 1e6),
        per_op=_flag(frame, "per_op"),
        timing=_timing(protocol),
        timeout_s=_number(protocol, "timeout_s", 60.0, 0.01, 86400.0),
        memory_limit_mb=None if limit is None else _number(protocol, "memory_limit_mb", 0.0, 1.0, 1e9),
        lock_wait_s=_number(frame, "lock_wait_s", 30.0, 0.0, 86400.0),
        energy=parse_energy(frame),
        window=_window(frame),
    )


def parse_energy(frame: Mapping[str, Any]) -> EnergyRequest | None:
    """The `energy` object of a frame, None when it has none; raises `RequestError`."""
    if frame.get("energy") is None:
        return None
    energy, base = _object(frame, "energy"), EnergyRequest()
    return EnergyRequest(
        sensor=_text(energy, "sensor") if "sensor" in energy else base.sensor,
        options=_object(energy, "options", optional=True),
        window_s=_number(energy, "window_s", base.window_s, 0.1, 3600.0),
        max_window_s=_number(energy, "max_window_s", base.max_window_s, 0.1, 3600.0),
    )


def _window(frame: Mapping[str, Any]) -> WindowPlan | None:
    if frame.get("window") is None:
        return None
    window = _object(frame, "window")
    return WindowPlan(
        _number(window, "lead_s", 0.1, 0.0, 3600.0), _number(window, "window_s", 2.0, 0.0, 3600.0)
    )


def _timing(protocol: Mapping[str, Any]) -> Timing:
    base = Timing()
    return Timing(
        precision=_number(protocol, "precision", base.precision, 1e-6, 1.0),
        max_time_s=_number(protocol, "max_time_s", base.max_time_s, 1e-3, 86400.0),
        min_time_s=_number(protocol, "min_time_s", base.min_time_s, 0.0, 86400.0),
        warmup_s=_number(protocol, "warmup_s", base.warmup_s, 0.0, 86400.0),
        min_samples=int(_number(protocol, "min_samples", base.min_samples, 1, 1e6)),
    )


def _check_placement(options: Mapping[str, Any]) -> None:
    _number(options, "threads", 1, 1, 4096)
    if isinstance(options.get("threads", 1), float):
        raise RequestError("threads: a whole number is needed")
    affinity = options.get("affinity", "auto")
    is_list = (
        isinstance(affinity, list) and affinity and all(type(cpu) is int and cpu >= 0 for cpu in affinity)
    )
    if not (affinity is None or affinity == "auto" or is_list):
        raise RequestError('affinity: "auto", null or a list of CPU numbers is needed')


def _inputs(value: Any) -> tuple[InputSpec, ...]:
    if not isinstance(value, list):
        raise RequestError("inputs: a list is needed")
    return tuple(_input(item) for item in value)


def _input(item: Any) -> InputSpec:
    if not isinstance(item, dict):
        raise RequestError("inputs: a list of objects is needed")
    shape = item.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise RequestError("inputs.shape: a list of positive whole numbers is needed")
    dtype = item.get("dtype", "float32")
    if dtype not in LIMITS:
        raise RequestError(f"inputs.dtype: one of {', '.join(LIMITS)} is needed")
    return InputSpec(_text(item, "name"), tuple(shape), dtype, _limits(item.get("range"), dtype))


def _limits(value: Any, dtype: str) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) in (int, float) for v in value):
        raise RequestError("inputs.range: null or a list of the least and the greatest value is needed")
    low, high = value
    if not LIMITS[dtype][0] <= low <= high <= LIMITS[dtype][1]:
        raise RequestError(f"inputs.range: from {low} to {high} is no range of {dtype}")
    if not dtype.startswith("float") and not (type(low) is int and type(high) is int):
        raise RequestError(f"inputs.range: whole numbers are needed for {dtype}")
    return (low, high)


def _expected(value: Any) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(item) in (int, float) for item in value):
        raise RequestError("expected: null or a flat list of numbers is needed")
    return [float(item) for item in value]


def _object(frame: Mapping[str, Any], key: str, optional: bool = False) -> dict[str, Any]:
    value = frame.get(key)
    if value is None and optional:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"{key}: an object is needed")
    return value


def _flag(frame: Mapping[str, Any], key: str) -> bool:
    value = frame.get(key, False)
    if not isinstance(value, bool):
        raise RequestError(f"{key}: true or false is needed")
    return value


def _text(frame: Mapping[str, Any], key: str) -> str:
    value = frame.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise RequestError(f"{key}: a non-empty string is needed")
    return value


def _number(frame: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = frame.get(key, default)
    if type(value) not in (int, float) or not low <= value <= high:
        raise RequestError(f"{key}: a number from {low:g} to {high:g} is needed")
    return float(value)
