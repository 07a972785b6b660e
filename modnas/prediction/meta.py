"""The MetaPredictor: (architecture, device features) -> metric in its physical unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from modnas.core.errors import ModnasError
from modnas.core.weights import set_weights
from modnas.prediction.described import MANY, DescribedDevice, Learned, Seen
from modnas.prediction.device_vectors import checked_references
from modnas.prediction.gaussian_process import (
    NORMAL_QUANTILE,
    Features,
    GaussianProcess,
    fit_gaussian_process,
)
from modnas.prediction.measured import DeviceTable, Measured, measurements
from modnas.prediction.transfer import most_telling
from modnas.spaces import Architecture, Space

# Rows of a learned device from which on its own regression speaks alone.
_ENOUGH = 150
_SAMPLE = 500  # architectures that stand for the space
_CALIBRATION_ROWS = 200
# Least half-width of the 90 % interval of a described device, after its references and after `MANY`
# measurements that were chosen: the normal one, and what devices left out took (`docs/decisions.md`).
_LEAST_QUANTILE = (NORMAL_QUANTILE, 1.8)
_BLOCK = 2000  # architectures predicted at once, which bounds the memory
_FORMAT = 3
_OLDER = 2  # the learned devices are the same, the calibration is another's

Further = Measured | tuple[Sequence[Architecture], ArrayLike]


class PredictorError(ModnasError, ValueError):
    """A saved predictor that cannot be used."""

    code = "predictor"


@dataclass(frozen=True)
class Prediction:
    """Expected values and the 90 % interval of a measurement: each (n,) float64, physical unit, >= 0."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


class MetaPredictor(nn.Module):
    """Predicts a metric for any device from its measurements of the reference architectures.

    Every device it was fitted on has its own regression. One that was measured often enough is predicted by
    it alone. Any other is described by what was measured on it, its references and more where there is more:
    these decide how much of the learned devices it follows, and how far it leaves them (see `transfer`).

    Args:
        device_width: number of reference measurements, D; that of `space.references`.
        rows: number of architectures each learned device is fitted on.
    """

    features: Tensor
    quantile: Tensor
    reference_onehot: Tensor

    def __init__(self, space: Space, device_width: int, rows: Sequence[int]) -> None:
        super().__init__()
        if device_width != len(space.references):
            raise ValueError(f"{space.name} has {len(space.references)} references, not {device_width}")
        if not rows:
            raise ValueError("a predictor needs at least one device")
        self.space = space
        self.device_width = device_width
        self.devices = nn.ModuleList(GaussianProcess(space, count) for count in rows)
        zero = torch.zeros((), dtype=torch.float64)
        # The learned devices' features (T, D).
        self.register_buffer("features", zero + torch.arange(device_width).expand(len(rows), -1))
        # Half-widths of the 90 % interval of a device that is described; see `DescribedDevice`.
        self.register_buffer("quantile", zero.new_full((2,), NORMAL_QUANTILE))
        self.register_buffer("reference_onehot", space.encode(space.references).double(), persistent=False)
        self._learned: Learned | None = None

    def forward(self, onehot: Tensor, device_features: Tensor) -> Tensor:
        """Predict in the physical unit of the device's features.

        Args:
            onehot: (n, width) one-hot rows; the result is differentiable in them.
            device_features: (D,) or one row an architecture (n, D); see `DeviceTable.features`.

        Returns:
            Shape (n,), the dtype of `onehot`. Far outside of what was measured it may be below 0.
        """
        given = device_features.reshape(-1, self.device_width)
        rows, place = torch.unique(given, dim=0, return_inverse=True)
        if len(rows) == 1:
            return self.bound(rows[0])(onehot)
        members = [(place == number).nonzero().squeeze(1) for number in range(len(rows))]
        parts = [self.bound(row)(onehot[some]) for row, some in zip(rows, members, strict=True)]
        return torch.cat(parts)[torch.cat(members).argsort()]

    def bound(self, device_features: Tensor, further: Further | None = None) -> Callable[[Tensor], Tensor]:
        """The predictor of one device, for inner loops: one-hot rows (n, width) -> (n,), differentiable.

        A device that was measured often enough costs one regression instead of all of them.

        Args:
            device_features: (D,), see `DeviceTable.features`.
            further: as in `predict`.
        """
        model = self._model(device_features.to(self.features), further)
        return lambda onehot: model(Features.of(self.space, onehot)).to(onehot.dtype)

    @torch.no_grad()
    def predict(
        self,
        architectures: Sequence[Architecture],
        device_features: ArrayLike,
        further: Further | None = None,
    ) -> Prediction:
        """Values and 90 % intervals for one device. Raises ValueError for unusable measurements.

        Args:
            device_features: (D,), see `DeviceTable.features`.
            further: more measurements of this device, in the same unit. They sharpen what the references say;
                they are no part of the device's description. Those that a learned device was fitted on
                already do not count twice.
        """
        model = self._model(self._checked(device_features), further)
        parts = []
        for start in range(0, len(architectures), _BLOCK):
            value, half = model.with_interval(self._features(architectures[start : start + _BLOCK]))
            bounds = (value, value - half, value + half)
            parts.append([bound.clamp(min=0).cpu().numpy() for bound in bounds])
        return Prediction(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @torch.no_grad()
    def choose(
        self,
        candidates: Sequence[Architecture],
        device_features: ArrayLike,
        further: Further | None = None,
        *,
        count: int = 1,
    ) -> list[Architecture]:
        """Which to measure next on a device: those after which all candidates together are least uncertain.

        Chosen and measured a few at a time, they tell more than all at once.

        Args:
            candidates: some hundred architectures; time and memory grow with their square.
            device_features, further: as in `predict`; what they have is not chosen again.
            count: at most so many are returned, most telling first.
        """
        known = {*self.space.references, *(further[0] if further is not None else ())}
        open_ones = [a for a in candidates if a not in known]
        if not open_ones:
            return []
        model = self._described(self._checked(device_features), further)
        return [open_ones[i] for i in most_telling(*model.uncertainty(self._features(open_ones)), count)]

    def described(self, device_features: ArrayLike, further: Further | None = None) -> DescribedDevice:
        """What predicts a device that is none of the learned ones; arguments as of `predict`."""
        return self._described(self._checked(device_features), further)

    def _checked(self, device_features: ArrayLike) -> Tensor:
        return checked_references("the device", device_features, self.device_width).to(self.features.device)

    def _features(self, architectures: Sequence[Architecture]) -> Features:
        return Features.of(self.space, self.space.encode(architectures).to(self.features.device))

    def _model(self, references: Tensor, further: Further | None) -> GaussianProcess | DescribedDevice:
        """What predicts the device with these references, (D,)."""
        own = self._own(references)
        if own is None or (len(own.alpha) < _ENOUGH and len(self.devices) > 1):
            return self._described(references, further)
        if further is None or not len(further[0]):
            return own
        return own.with_further(*self._measured(further).besides(_rows_of(own)))

    def _own(self, references: Tensor) -> GaussianProcess | None:
        """The regression of the learned device with these references, (D,); None if there is none."""
        equal: list[bool] = ((self.features - references).abs().amax(1) == 0).tolist()
        return self._processes()[equal.index(True)] if any(equal) else None

    def _described(self, references: Tensor, further: Further | None) -> DescribedDevice:
        """A device as its measurements describe it to the learned devices: to the others, if it is one."""
        own = self._own(references)
        members = [t for t, process in enumerate(self._processes()) if process is not own]
        few = own is not None and len(own.alpha) < _ENOUGH
        seen = _rows_of(own) if own is not None and few else self._at_references(references)
        if further is not None and len(further[0]):
            seen = Seen.join([seen, self._measured(further).besides(seen)])
        return DescribedDevice(self._regressions(), members, seen, self.quantile)

    def _at_references(self, references: Tensor) -> Seen:
        return Seen(Features.of(self.space, self.reference_onehot), references, torch.zeros_like(references))

    def _measured(self, further: Further) -> Seen:
        given = Measured(*further)
        values, deviations = (part.to(self.features) for part in given.tensors())
        return Seen(self._features(given.architectures), values, deviations)

    def _processes(self) -> list[GaussianProcess]:
        return [device for device in self.devices if isinstance(device, GaussianProcess)]

    def _regressions(self) -> Learned:
        """The learned devices on their common scales; these are found once, where the predictor lies."""
        if self._learned is None or self._learned.correlation.device != self.features.device:
            count = min(_SAMPLE, max(2, self.space.size // 2))
            sample = self.space.sample(count, torch.Generator().manual_seed(0))
            self._learned = Learned(self._processes(), self._features(sample))
        return self._learned

    @torch.no_grad()
    def calibrate(self, seed: int) -> None:
        """Set the width of a described device's intervals, from the learned devices.

        With three devices or more, each is described to the others, once by its references and once by
        further measurements that are chosen from 200 of its rows; the interval is made so wide that it holds
        90 % of the other rows' measurements. It has a least width: devices to come may be less like
        these than they are like each other.
        """
        if len(self.devices) < 3:
            return
        scores: tuple[list[Tensor], list[Tensor]] = ([], [])
        for t, device in enumerate(self._processes()):
            order = torch.randperm(len(device.alpha), generator=torch.Generator().manual_seed(seed))
            rows = order[:_CALIBRATION_ROWS].to(device.alpha.device)
            for scored, score in zip(scores, self._scores(t, device, rows), strict=True):
                scored.append(score)
        found = torch.stack([torch.cat(score).quantile(0.9) for score in scores])
        self.quantile.copy_(found.maximum(found.new_tensor(_LEAST_QUANTILE)))

    def _scores(self, t: int, device: GaussianProcess, rows: Tensor) -> tuple[Tensor, Tensor]:
        """How far learned device t's measurements are from what the others predict, in standard deviations:
        after its references, and after `MANY` measurements."""
        others = [o for o in range(len(self.devices)) if o != t]
        measured, known = _rows_of(device), self._at_references(self.features[t])

        def described(seen: Seen) -> DescribedDevice:
            return DescribedDevice(self._regressions(), others, seen, torch.ones_like(self.quantile))

        def score(model: DescribedDevice, judged: Seen) -> Tensor:
            expected, deviation = model.with_interval(judged.features)
            return (judged.values - expected).abs() / deviation

        first, some = described(known), measured.rows(rows)
        count = min(MANY - self.device_width, len(rows) // 2)
        chosen = torch.zeros_like(rows, dtype=torch.bool)
        chosen[most_telling(*first.uncertainty(some.features), count)] = True
        second = described(Seen.join([known, some.rows(chosen)]))
        return score(first, some), score(second, some.rows(~chosen))


def _rows_of(device: GaussianProcess) -> Seen:
    """All that a learned device was fitted on."""
    return Seen(device.features, *device.measured_with_deviations())


def fit_predictor(space: Space, tables: Sequence[DeviceTable], *, seed: int = 0) -> MetaPredictor:
    """Fit a MetaPredictor on the measurements of one or more devices. Same arguments, same result.

    Raises:
        ValueError: no table, or one that is malformed or not positive.
    """
    width = len(space.references)
    features = [checked_references(table.name, table.features, width) for table in tables]
    measured = [measurements(space, table) for table in tables]
    processes = [fit_gaussian_process(space, *one, seed=seed) for one in measured]
    return _assemble(space, processes, features, seed)


def combine(predictors: Sequence[MetaPredictor], *, seed: int = 0) -> MetaPredictor:
    """One predictor of all devices of several, of one space: as if it had been fitted on all their tables."""
    processes = [process for predictor in predictors for process in predictor._processes()]
    features = [row for predictor in predictors for row in predictor.features]
    return _assemble(predictors[0].space, processes, features, seed)


def _assemble(
    space: Space, processes: Sequence[GaussianProcess], features: Sequence[Tensor], seed: int
) -> MetaPredictor:
    rows = [len(process.alpha) for process in processes]
    predictor = MetaPredictor(space, len(space.references), rows)
    predictor.devices = nn.ModuleList(processes)
    predictor.features.copy_(torch.stack(list(features)))
    predictor.calibrate(seed)
    return predictor


def to_state(predictor: MetaPredictor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `from_state` rebuilds the predictor from: tensors (for safetensors), a description (for JSON)."""
    tensors = {name: t.detach().cpu().clone() for name, t in predictor.state_dict().items()}
    description = {
        "format": _FORMAT,
        "space": predictor.space.name,
        "variant": predictor.space.variant,
        "device_width": predictor.device_width,
        "rows": [len(device.alpha) for device in predictor._processes()],
    }
    return tensors, description


def from_state(space: Space, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> MetaPredictor:
    """The predictor that `to_state` took apart, now or in an older version.

    Raises:
        PredictorError: it was fitted for another space or network size, or the parts do not fit together.
    """
    older = description.get("format") == _OLDER
    expected = {"format": _OLDER if older else _FORMAT, "space": space.name, "variant": space.variant}
    found = {key: description.get(key) for key in expected}
    if found != expected:
        raise PredictorError(f"the predictor is for {found}, not {expected}: fit one for this space")
    try:
        predictor = MetaPredictor(space, description["device_width"], description["rows"])
        if older:
            tensors = {**tensors, "quantile": predictor.quantile}
            tensors.pop("at_references")
        set_weights(predictor, tensors)
        if older:
            predictor.calibrate(seed=0)
    except PredictorError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise PredictorError(f"the saved predictor is damaged ({text}): fit it again") from error
    return predictor
