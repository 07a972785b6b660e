"""What the steps of a search return. The fields are the keys of the command line's JSON documents."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

# Objectives of an architecture as the search sees it: `error` in percent, on the validation split, and each
# metric by its key, such as `latency_ms`.
Predicted: TypeAlias = dict[str, float]

# Objectives of a network that was trained and measured: `error` in percent, on the test split, and each
# metric by its key. A metric is None where it could not be measured: `failure` says why if nothing was, else
# `absent` by the metric's key. One that is a median of several samples also has the interval of most of them
# (10th to 90th percentile), such as `latency_interval_ms`, and its 95 % interval, `latency_ci_ms`. `source`
# is `table` where the values were looked up; `warnings` is a list of texts.
Measured: TypeAlias = dict[str, Any]


class FrontEntry(TypedDict):
    """An architecture of a front, and the preference (weights of the objectives) that it answers best."""

    arch: str
    preference: list[float]
    predicted: Predicted


class VerifiedEntry(FrontEntry):
    """An architecture of a front, trained and measured."""

    measured: Measured


class RandomEntry(TypedDict):
    """One of the random architectures that a front is compared with, trained and measured."""

    arch: str
    measured: Measured


class Table(TypedDict):
    """Where the values of an imported table are from; `variant`: size of the networks that they are of."""

    source: str
    variant: str
    files: list[str]


class _Front(TypedDict):
    run: str
    device: str
    architectures: list[FrontEntry]


class Front(_Front, total=False):
    """The front of a device. `table` is there for a device that is an imported table."""

    table: Table


class ExportedEntry(FrontEntry):
    """A network that was written to `file`, with its `error` in percent, on the test split."""

    file: str
    error: float


class Networks(TypedDict):
    """The networks of a front as files: what `networks.json` beside them holds."""

    space: str
    variant: str
    task: str
    networks: list[ExportedEntry]


class Hypervolumes(TypedDict):
    """Measured hypervolumes of a front and of as many random architectures, on one scale; more is better."""

    front: float
    random: float


class Sotl(TypedDict):
    """What would have been left of a front, had only part of it been trained (see `modnas.accuracy.sotl`)."""

    epochs: int
    kept: int
    hypervolume: float


class _Verification(TypedDict):
    device: str
    task: str
    architectures: list[VerifiedEntry]
    random: list[RandomEntry]
    hypervolume: Hypervolumes
    hypervolume_by_metric: dict[str, Hypervolumes]
    sotl: Sotl | None
    spearman: dict[str, float | None]
    measured_now: int
    measurements_reused: int
    trained_now: int
    trainings_reused: int


class Verification(_Verification, total=False):
    """A front of one device trained and measured, beside as many random architectures.

    `spearman`: rank correlation of predicted and measured values, by metric; None where it is not defined.
    `hypervolume` is of all objectives, `hypervolume_by_metric` of error and one metric each.
    `table` is there for a device that is an imported table.
    """

    table: Table


class _LoopNetwork(TypedDict):
    arch: str
    predicted: Predicted


class LoopNetwork(_LoopNetwork, total=False):
    """A network that was measured while the search ran, with what was predicted before.

    `measured` has no error, and lacks what could not be measured; `deviation` is the standard deviation of
    values, where it is known. `failure`: why nothing was measured.
    """

    measured: dict[str, float]
    deviation: dict[str, float]
    failure: str


class _LoopDevice(TypedDict):
    networks: list[LoopNetwork]
    agreement: dict[str, dict[str, float | None]]


class LoopDevice(_LoopDevice, total=False):
    """What a round of measuring came to on one device.

    `agreement` of what was predicted and measured, by metric: `median_error`, relative, and `spearman`.
    `lost`: why the device did not come to the end of the round. `anchor_change`: of the anchor's latency
    since the profile, relative, where it is more than a drift: latencies of the round count less.
    """

    lost: str
    anchor_change: float


class LoopRound(TypedDict):
    """A round of measuring: after how many epochs of the search, and what came of it, by device."""

    epoch: int
    devices: dict[str, LoopDevice]


class SearchResult(TypedDict):
    """All of a search. `data`: what of the data is used and what is not, a line each; `report`: a path."""

    run: str
    data: list[str]
    report: str
    fronts: dict[str, list[FrontEntry]]
    verification: dict[str, Verification]
