"""The MetaPredictor: (architecture, device features) -> metric in its physical unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from modnas.core.errors import ModnasError
from modnas.core.weights import set_weights
from modnas.prediction.device_vectors import checked_references, scale_references
from modnas.prediction.gaussian_process import (
    NORMAL_QUANTILE,
    Features,
    GaussianProcess,
    fit_gaussian_process,
)
from modnas.prediction.transfer import Mixture, Seen, mix, relative_noise
from modnas.spaces import Architecture, Space

_CALIBRATION_ROWS = 200
_BLOCK = 2000  # architectures predicted at once, which bounds the memory
_FORMAT = 2


class PredictorError(ModnasError, ValueError):
    """A saved predictor that cannot be used."""

    code = "predictor"


@dataclass(frozen=True)
class DeviceTable:
    """Measurements of one metric on one device.

    Args:
        name: for messages and the saved description.
        features: the metric measured on `space.references`, in their order: (D,), positive, not all equal.
        architectures: n architectures of the space; may be empty, and may contain references.
        values: (n,), positive, the same unit as `features`.
    """

    name: str
    features: ArrayLike
    architectures: Sequence[Architecture]
    values: ArrayLike


@dataclass(frozen=True)
class Prediction:
    """Expected values and the 90 % interval of a measurement: each (n,) float64, physical unit, >= 0."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


class _Device(NamedTuple):
    """The device to predict: its row(s) of scaled references (B, D), their minimum and range (B,), the mean
    of everything measured on it (B,), and what was measured."""

    rows: Tensor
    low: Tensor
    scale: Tensor
    mean: Tensor
    seen: Seen


class MetaPredictor(nn.Module):
    """Predicts a metric for any device from its measurements of the reference architectures.

    Every device it was fitted on has its own regression. A device is described by its raw reference
    measurements: their minimum and maximum give its scale, their positions in between its normalised
    references. Its prediction is, on that scale, the average of the learned devices weighted by nearness of
    these, plus a correction that makes it agree with what was measured on it (see `transfer`). The nearer a
    learned device, the smaller the correction: a device that was learned gets its own regression.

    Args:
        device_width: number of reference measurements, D; that of `space.references`.
        rows: number of architectures each learned device is fitted on.
    """

    features: Tensor
    at_references: Tensor
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
        # The learned devices' features (T, D), and what their regressions say of the references (D, T).
        self.register_buffer("features", zero + torch.arange(device_width).expand(len(rows), -1))
        self.register_buffer("at_references", zero.new_zeros(device_width, len(rows)))
        # Half-width of the 90 % interval of an unseen device in standard deviations of the mixture.
        self.register_buffer("quantile", zero + NORMAL_QUANTILE)
        self.register_buffer("reference_onehot", space.encode(space.references).double(), persistent=False)

    def forward(self, onehot: Tensor, device_features: Tensor) -> Tensor:
        """Predict in the physical unit of the device's features.

        Args:
            onehot: (n, width) one-hot rows; the result is differentiable in them.
            device_features: (D,) or one row an architecture (n, D); see `DeviceTable.features`.

        Returns:
            Shape (n,), the dtype of `onehot`. Far outside of what was measured it may be below 0.
        """
        device = self._device(device_features.reshape(-1, self.device_width).double())
        features = Features.of(self.space, onehot)
        mixture = self._mix(self._learned(features), features, device, range(len(self.devices)))
        return (mixture.values * device.scale + device.low).to(onehot.dtype)

    def bound(self, device_features: Tensor) -> Callable[[Tensor], Tensor]:
        """The predictor of one device, for inner loops: one-hot rows (n, width) -> (n,), differentiable.

        A device that was learned costs one regression instead of all of them, and says the same.
        """
        same = (self.features - device_features.to(self.features)).abs().amax(1) == 0
        if not same.any():
            return lambda onehot: self(onehot, device_features)
        process = self._processes()[int(same.nonzero()[0])]
        return lambda onehot: process(Features.of(self.space, onehot)).to(onehot.dtype)

    @torch.no_grad()
    def predict(
        self,
        architectures: Sequence[Architecture],
        device_features: ArrayLike,
        further: tuple[Sequence[Architecture], ArrayLike] | None = None,
    ) -> Prediction:
        """Values and 90 % intervals for one device. Raises ValueError for unusable measurements.

        Args:
            device_features: (D,), see `DeviceTable.features`.
            further: more measurements of this device, architectures and their values in the same unit. They
                sharpen what the references say; they are no part of the device's description.
        """
        given = checked_references("the device", device_features, self.device_width).to(self.features.device)
        device = self._device(given.unsqueeze(0))
        if further is not None and len(further[0]):
            device = self._with_further(device, given, *further)
        parts = [
            self._predict(architectures[start : start + _BLOCK], device)
            for start in range(0, len(architectures), _BLOCK)
        ]
        return Prediction(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _predict(
        self, architectures: Sequence[Architecture], device: _Device
    ) -> tuple[NDArray[np.float64], ...]:
        features = Features.of(self.space, self.space.encode(architectures).to(self.features.device))
        learned = self._learned(features)
        mixture = self._mix(learned, features, device, range(len(self.devices)))
        value = mixture.values * device.scale + device.low
        half = self.quantile * _deviation(mixture, value, device) * device.scale
        nearest = int((device.rows - scale_references(self.features).values).square().sum(1).argmin())
        own = self._processes()[nearest].with_interval(features)[1]
        half = (mixture.freedom * half.square() + (1 - mixture.freedom) * own.square()).sqrt()
        bounds = (value, value - half, value + half)
        return tuple(bound.clamp(min=0).cpu().numpy() for bound in bounds)

    def _device(self, references: Tensor) -> _Device:
        """Devices known by their references only, raw (B, D)."""
        rows, low, scale = scale_references(references)
        features = Features.of(self.space, self.reference_onehot)
        seen = Seen(self.at_references, features, rows, relative_noise(references, references.mean(1)))
        return _Device(rows, low, scale, references.mean(1), seen)

    def _with_further(
        self, device: _Device, references: Tensor, architectures: Sequence[Architecture], values: ArrayLike
    ) -> _Device:
        added = torch.as_tensor(np.array(values, np.float64)).to(references)
        if added.shape != (len(architectures),) or not (added.isfinite().all() and (added > 0).all()):
            raise ValueError(f"{len(architectures)} positive values of further architectures expected")
        onehot = self.space.encode(architectures).to(self.reference_onehot)
        features = Features.of(self.space, torch.cat([self.reference_onehot, onehot]))
        everything = torch.cat([references, added]).unsqueeze(0)
        scaled = (everything - device.low) / device.scale
        mean = everything.mean(1)
        seen = Seen(self._learned(features), features, scaled, relative_noise(everything, mean))
        return device._replace(mean=mean, seen=seen)

    def _processes(self) -> list[GaussianProcess]:
        return [device for device in self.devices if isinstance(device, GaussianProcess)]

    def _learned(self, features: Features) -> Tensor:
        """What each learned device's regression says, on the scale of its references: (n, T)."""
        values = torch.stack([device(features) for device in self._processes()], dim=1)
        _, low, scale = scale_references(self.features)
        return (values - low) / scale

    def _mix(self, learned: Tensor, features: Features, device: _Device, members: Sequence[int]) -> Mixture:
        """What the learned devices `members` and the measurements say of a device."""
        normalised = scale_references(self.features).values[members]
        distance = (device.rows.unsqueeze(1) - normalised).square().mean(2)
        seen = device.seen._replace(learned=device.seen.learned[:, members])
        return mix(learned[:, members], features, distance, seen)

    @torch.no_grad()
    def finish(self, features: Tensor, seed: int) -> None:
        """After the regressions: take in the devices' features (T, D) and calibrate the unseen device.

        With three devices or more, each is predicted from the others, as if it were unseen, at up to 200 of
        its architectures; the interval is made so wide that it holds 90 % of their measurements.
        """
        self.features.copy_(features)
        self.at_references.copy_(self._learned(Features.of(self.space, self.reference_onehot)))
        count = len(self.devices)
        if count < 3:
            return
        scores = []
        for t, device in enumerate(self._processes()):
            order = torch.randperm(len(device.alpha), generator=torch.Generator().manual_seed(seed))
            some = device.features.rows(order[:_CALIBRATION_ROWS].to(device.alpha.device))
            learned = self._learned(some)
            others = [o for o in range(count) if o != t]
            target = self._device(self.features[t : t + 1])
            mixture = self._mix(learned, some, target, others)
            measured = (device.measured()[order[:_CALIBRATION_ROWS]] - target.low) / target.scale
            deviation = _deviation(mixture, mixture.values * target.scale + target.low, target)
            scores.append((measured - mixture.values).abs() / deviation)
        self.quantile.copy_(torch.cat(scores).quantile(0.9))


def _deviation(mixture: Mixture, value: Tensor, device: _Device) -> Tensor:
    """Standard deviation of a measurement on the scale of the references, (n,), before calibration."""
    noise = mixture.noise * relative_noise(value.unsqueeze(0), device.mean).squeeze(0)
    return (mixture.variance + noise).sqrt()


def _measurements(space: Space, table: DeviceTable) -> tuple[Tensor, Tensor]:
    """Encodings and values of a table, with the references it does not hold itself."""
    values = np.array(table.values, np.float64)
    if values.shape != (len(table.architectures),):
        raise ValueError(f"{table.name}: {values.shape} values for {len(table.architectures)} architectures")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"{table.name}: values must be positive numbers")
    features = checked_references(table.name, table.features, len(space.references)).tolist()
    known = set(table.architectures)
    added = [(a, v) for a, v in zip(space.references, features, strict=True) if a not in known]
    onehot = space.encode([*table.architectures, *(a for a, _ in added)])
    return onehot, torch.tensor([*values.tolist(), *(v for _, v in added)], dtype=torch.float64)


def fit_predictor(space: Space, tables: Sequence[DeviceTable], *, seed: int = 0) -> MetaPredictor:
    """Fit a MetaPredictor on the measurements of one or more devices. Same arguments, same result.

    Raises:
        ValueError: no table, or one that is malformed or not positive.
    """
    measured = [_measurements(space, table) for table in tables]
    width = len(space.references)
    predictor = MetaPredictor(space, width, [len(values) for _, values in measured])
    predictor.devices = nn.ModuleList(fit_gaussian_process(space, *one, seed=seed) for one in measured)
    predictor.finish(torch.stack([checked_references(t.name, t.features, width) for t in tables]), seed)
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
    """The predictor that `to_state` took apart.

    Raises:
        PredictorError: it was fitted for another space or network size, or the parts do not fit together.
    """
    expected = {"format": _FORMAT, "space": space.name, "variant": space.variant}
    found = {key: description.get(key) for key in expected}
    if found != expected:
        raise PredictorError(f"the predictor is for {found}, not {expected}: fit one for this space")
    try:
        predictor = MetaPredictor(space, description["device_width"], description["rows"])
        set_weights(predictor, tensors)
    except PredictorError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise PredictorError(f"the saved predictor is damaged ({text}): fit it again") from error
    return predictor
