"""What the agent may say: one model for every frame, and one parser that all frames pass.

What is measured is checked for agreeing with itself here, and with what was asked for in
`harness.agent.plausibility`. Fields that are not known are kept, cleaned and bounded like all others: an
agent may tell more than this host knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from modnas_agent.timing.stats import quantile
from modnas_agent.wire.protocol import PROTOCOL_VERSION
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import ForeignDataError, clean_text, clean_value

# A call is shorter than a tick of the clock, a board larger than any, a chip hotter than it can be: not so.
LEAST_MS = 1e-6
MOST_MEMORY_MB = 1 << 26
MOST_SAMPLES = 1000
QUANTILES = 101
# Samples are sent with seven digits after the point.
ROUNDING_MS = 1e-6
ROUNDING = 1e-6

Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(gt=0, le=1e15)]
NotNegative = Annotated[float, Field(ge=0, le=1e15)]
Milliseconds = Annotated[float, Field(ge=LEAST_MS, le=1e15)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Names = Annotated[list[Text], Field(max_length=500)]
Memory = Annotated[float, Field(gt=0, le=MOST_MEMORY_MB)]
# A column of the store, and a word that programs compare.
Reason = Annotated[str, Field(pattern=r"^[a-z][a-z_-]{0,31}$")]


class FrameError(DeviceUnavailableError):
    """The agent sent something that cannot be what it says."""

    code = "invalid-frame"


def _iso(text: str) -> str:
    datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    return text


Moment = Annotated[str, Field(max_length=40), AfterValidator(_iso)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)


class Cpu(_Part):
    """The processor, as far as it is known."""

    model: Text | None = None
    logical: Annotated[int, Field(ge=1, le=65536)] | None = None
    physical: Annotated[int, Field(ge=1, le=65536)] | None = None


class System(_Part):
    """The operating system."""

    system: Text | None = None
    release: Text | None = None
    distribution: Text | None = None


class Inventory(_Part):
    """What a board is; without `machine` it could not be told from another."""

    machine: Text
    board: Text | None = None
    cpu: Cpu | None = None
    memory_mb: Annotated[int, Field(gt=0, le=MOST_MEMORY_MB)] | None = None
    os: System | None = None
    python: Text | None = None
    runtimes: dict[str, Text | None] | None = None
    governor: Text | None = None
    sensors: Names | None = None
    power_sensors: Names | None = None
    temperature_c: Annotated[float, Field(ge=-273.15, le=1000)] | None = None
    throttle_flags: Names | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the machine; the rest (load, temperature) changes by the minute."""
        return {"machine": self.machine, "board": self.board, "cpu": self.cpu and plain(self.cpu)}


class Hello(_Part):
    """The greeting."""

    event: Literal["hello"]
    agent_version: Name
    inventory: Inventory


class Probe(_Part):
    """A backend that was imported. `providers` is absent for one that knows no such thing."""

    event: Literal["probe"]
    version: Name
    providers: Annotated[list[Name], Field(max_length=100)] | None = None


class Sensor(_Part):
    """The power sensor that would be used, or the reason why there is none."""

    event: Literal["sensor"]
    sensor: Name | None = None
    reason: Text | None = None


class Pong(_Part):
    """A sign of life."""

    event: Literal["pong"]
    busy_with: Text | None = None


class Progress(_Part):
    """How far a measurement is."""

    event: Literal["progress"]
    phase: Name | None = None
    n: Count | None = None
    elapsed_s: NotNegative | None = None
    half_width: NotNegative | None = None


class Refusal(_Part):
    """The `error` event: nothing was measured."""

    event: Literal["error"]
    reason: Name
    message: Text = "no message"


class Latency(_Part):
    """Statistics of one series of calls, in ms a call; `n` samples of `block` calls each."""

    median_ms: Milliseconds
    p10_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds | None = None
    mean_ms: Milliseconds | None = None
    ci_low_ms: NotNegative | None = None
    ci_high_ms: Positive | None = None
    half_width: NotNegative | None = None
    n: Annotated[int, Field(ge=1, le=10**9)]
    effective_n: Positive | None = None
    block: Annotated[int, Field(ge=1, le=10**9)] = 1
    warmup_n: Count | None = None
    ended_by: Name | None = None
    samples_ms: Annotated[list[NotNegative], Field(max_length=MOST_SAMPLES)] | None = None
    quantiles_ms: Annotated[list[NotNegative], Field(min_length=QUANTILES, max_length=QUANTILES)] | None = (
        None
    )

    @property
    def half_spent_s(self) -> float:
        """Half of the calls took the median or longer: at least so many seconds went by."""
        return self.n * self.block * self.median_ms / 2e3

    @model_validator(mode="after")
    def _agrees(self) -> Latency:
        _ascending("p10, median and p90", self.p10_ms, self.median_ms, self.p90_ms, self.p99_ms)
        if (self.ci_low_ms is None) != (self.ci_high_ms is None):
            raise ValueError("the confidence interval has one end only")
        _ascending("the confidence interval and its median", self.ci_low_ms, self.median_ms, self.ci_high_ms)
        if self.samples_ms is not None:
            if len(self.samples_ms) != self.n:
                raise ValueError(f"n is {self.n}, but {len(self.samples_ms)} samples were sent")
            self._check_against(sorted(self.samples_ms))
        if self.quantiles_ms is not None:
            _ascending("the quantiles", *self.quantiles_ms)
            self._check_against(self.quantiles_ms)
        return self

    def _check_against(self, ordered: list[float]) -> None:
        stated = {0.1: self.p10_ms, 0.5: self.median_ms, 0.9: self.p90_ms}
        for share, value in stated.items():
            found = quantile(ordered, share)
            if abs(found - value) > ROUNDING_MS + ROUNDING * found:
                raise ValueError(
                    f"the {share:.0%} quantile is {value:g} ms, that of the samples {found:g} ms"
                )


class Energy(_Part):
    """The energy of an inference, or the `reason` why there is none."""

    net_mj: Positive | None = None
    gross_mj: Positive | None = None
    net_half_width: NotNegative | None = None
    idle_w: NotNegative | None = None
    load_w: NotNegative | None = None
    window_s: Positive | None = None
    idle_s: Positive | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    updates: Count | None = None
    rate_hz: Positive | None = None
    sensor: Name | None = None
    quantity: Name | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Energy:
        if self.net_mj is None:
            if not self.reason:
                raise ValueError("there is neither net_mj nor a reason for its absence")
            return self
        _ascending("net and gross energy", self.net_mj, self.gross_mj)
        if self.n is not None and self.window_s is not None and self.load_w is not None:
            per_inference_s = self.window_s / self.n
            _close("gross_mj", self.gross_mj, 1e3 * self.load_w * per_inference_s)
            if self.idle_w is not None:
                _close("net_mj", self.net_mj, 1e3 * (self.load_w - self.idle_w) * per_inference_s)
        return self


class Conditions(_Part):
    """The state of the board before or after."""

    load_average: NotNegative | None = None
    governor: Text | None = None
    frequency_mhz: NotNegative | None = None
    max_frequency_mhz: NotNegative | None = None
    temperature_c: Annotated[float, Field(ge=-273.15, le=1000)] | None = None
    throttle_flags: Names | None = None
    throttle_count: Count | None = None
    competing_load: NotNegative | None = None


class OperatorTime(_Part):
    """One kind of operator in a network."""

    op: Name
    count: Positive
    ms: NotNegative


class Runtime(_Part):
    """What ran the network."""

    name: Name
    version: Text | None = None


class Result(_Part):
    """What every result has."""

    event: Literal["result"]
    before: Conditions | None = None
    after: Conditions | None = None
    runtime: Runtime | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    wall_s: NotNegative | None = None
    warnings: Annotated[list[Text], Field(max_length=100)] | None = None


class Measured(Result):
    """A network that was measured."""

    status: Literal["ok"]
    latency: Latency
    memory_mb: Memory | None = None
    memory_delta_mb: Annotated[float, Field(ge=-MOST_MEMORY_MB, le=MOST_MEMORY_MB)] | None = None
    load_time_ms: NotNegative | None = None
    max_abs_diff: NotNegative | None = None
    energy: Energy | None = None
    per_op: Annotated[list[OperatorTime], Field(max_length=1000)] | None = None
    preemptions: Count | None = None
    measure_s: NotNegative | None = None


class Failed(Result):
    """A network that could not be measured."""

    status: Literal["error"]
    reason: Reason
    message: Text | None = None


# What a failure has no figures of, whatever it says.
FIGURES = frozenset(Measured.model_fields) - frozenset(Result.model_fields) - {"status"}

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], frame: Mapping[str, Any]) -> Model:
    """The frame as `model`, with everything in it cleaned. Raises FrameError."""
    try:
        return model.model_validate(clean_value(frame))
    except ForeignDataError as error:
        raise FrameError(str(error)) from error
    except ValidationError as error:
        raise FrameError(describe(error)) from error


def accept(model: type[Model], frame: Mapping[str, Any]) -> Model:
    """As `parse`, with an error for a person."""
    try:
        return parse(model, frame)
    except FrameError as error:
        raise FrameError(f"the agent's {model.__name__.lower()} cannot be used: {error}") from error


def parse_hello(frame: Mapping[str, Any]) -> Hello:
    """The greeting of an agent that speaks this host's protocol. Raises DeviceUnavailableError."""
    protocol = frame.get("protocol")
    if type(protocol) is not int or protocol != PROTOCOL_VERSION:  # True is no version
        raise DeviceUnavailableError(
            f"the agent speaks protocol {clean_text(str(protocol)[:200], 40)}, this host {PROTOCOL_VERSION}; "
            "install the same version on both"
        )
    return accept(Hello, frame)


def plain(part: BaseModel) -> dict[str, Any]:
    """The frame as JSON values, with the fields that were sent and no others."""
    return part.model_dump(exclude_unset=True)


def describe(error: ValidationError) -> str:
    """The first thing that is wrong, with where it is and what is there."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("missing", "value_error"):
        return clean_text(f"{where}: {text}" if where else text)
    return clean_text(f"{where}: {text}, not {clean_text(repr(first['input'])[:200], 40)}")


def _ascending(what: str, *values: float | None) -> None:
    known = [value for value in values if value is not None]
    if any(later < earlier - ROUNDING * abs(earlier) for earlier, later in pairwise(known)):
        raise ValueError(f"{what} are not in order: {', '.join(f'{value:g}' for value in known[:5])}")


def _close(what: str, stated: float | None, found: float) -> None:
    """Energy and power may come from one trace by different sums."""
    if stated is not None and abs(stated - found) > 0.05 * stated:
        raise ValueError(f"{what} is {stated:g}, power and window say {found:g}")
