"""HELP's latency predictor (Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via
Meta-Learning", 2021), written from the paper's description.

A network takes an architecture and a device, described by its latencies of the reference architectures. It
is meta-learned over devices as MAML does (Finn et al., 2017), so that a few gradient steps on a new device's
references adapt it; its start and its step sizes are learned, and a second network rescales the start for
each device. Here the architecture enters as its encoding through fully connected layers, in any space; the
paper uses graph convolutions on NAS-Bench-201.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from modnas.prediction.device_vectors import known_device
from modnas.prediction.measured import DeviceTable
from modnas.spaces import Architecture, Space

_WIDTH = 100
_INNER_STEPS = 10
_INNER_RATE = 0.05  # of the inner steps, before it is learned
_DEVICES_A_STEP = 8
_ARCHITECTURES_A_STEP = 64
_LEARNING_RATE = 1e-3

Parameters = dict[str, Tensor]


class _Regression(nn.Module):
    """(one-hot (n, width), device (D,)) -> scaled latencies (n,)."""

    def __init__(self, width: int, device_width: int) -> None:
        super().__init__()
        self.architecture = nn.Sequential(
            nn.Linear(width, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU()
        )
        self.device = nn.Sequential(nn.Linear(device_width, _WIDTH), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(2 * _WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, 1))

    def forward(self, onehot: Tensor, device: Tensor) -> Tensor:
        known = self.device(device).expand(len(onehot), -1)
        result: Tensor = self.head(torch.cat([self.architecture(onehot), known], 1)).squeeze(1)
        return result


class HelpPredictor(nn.Module):
    """Predicts a metric on any device from its measurements of the reference architectures."""

    reference_onehot: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        device_width = len(space.references)
        features = space.chosen_features(torch.zeros(1, space.width))
        self.regression = _Regression(features.shape[1], device_width)
        start = dict(self.regression.named_parameters())
        # One factor for each output unit of each parameter, a device's own; and log step sizes.
        self.units = [len(value) for value in start.values()]
        factors = nn.Linear(_WIDTH, sum(self.units))
        nn.init.zeros_(factors.weight)
        nn.init.zeros_(factors.bias)
        self.modulator = nn.Sequential(nn.Linear(device_width, _WIDTH), nn.ReLU(), factors)
        self.log_rates = nn.Parameter(torch.full((len(start),), _INNER_RATE).log())
        self.register_buffer("reference_onehot", space.encode(space.references), persistent=False)

    def adapted(self, device: Tensor) -> Parameters:
        """Parameters of the regression after the inner steps on a device's scaled references (D,)."""
        start = dict(self.regression.named_parameters())
        factors = (1 + self.modulator(device)).split(self.units)
        parameters = {
            name: value * factor.view(-1, *[1] * (value.dim() - 1))
            for (name, value), factor in zip(start.items(), factors, strict=True)
        }

        def loss(current: Parameters) -> Tensor:
            return self._loss(current, self.reference_onehot, device, device)

        for _ in range(_INNER_STEPS):
            slopes = grad(loss)(parameters)
            rates = self.log_rates.exp()
            parameters = {
                name: value - rate * slopes[name]
                for (name, value), rate in zip(parameters.items(), rates, strict=True)
            }
        return parameters

    def _loss(self, parameters: Parameters, onehot: Tensor, device: Tensor, targets: Tensor) -> Tensor:
        return (self._values(parameters, onehot, device) - targets).square().mean()

    def _values(self, parameters: Parameters, onehot: Tensor, device: Tensor) -> Tensor:
        """Scaled values (n,) of the regression with these parameters."""
        inputs = self.space.chosen_features(onehot), device
        found: Tensor = functional_call(self.regression, parameters, inputs)
        return found

    def query_loss(self, devices: Tensor, onehot: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error after adaptation: devices (T, D), onehot (T, n, width), targets (T, n)."""

        def one(device: Tensor, rows: Tensor, values: Tensor) -> Tensor:
            return self._loss(self.adapted(device), rows, device, values)

        return vmap(one)(devices, onehot, targets).mean()

    @torch.no_grad()
    def predict(
        self, architectures: Sequence[Architecture], references: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        """Values (n,) in the unit of `references` (D,), the device's measurements of `space.references`."""
        return np.asarray(self.bound(references)(self.space.encode(architectures)).double().numpy())

    @torch.no_grad()
    def bound(self, references: npt.ArrayLike) -> Callable[[Tensor], Tensor]:
        """The predictor adapted to one device, for inner loops: one-hot rows (n, width) -> (n,)."""
        device, low, width = known_device("the device", references, len(self.space.references))
        parameters = self.adapted(device)

        def predict(onehot: Tensor) -> Tensor:
            return self._values(parameters, onehot, device) * width + low

        return predict


def meta_learn(
    space: Space, tables: Sequence[DeviceTable], *, steps: int = 300, seed: int = 0
) -> HelpPredictor:
    """Meta-learn a predictor on the measurements of several devices. Same arguments, same result.

    Args:
        steps: outer steps, each on up to 8 devices and 64 architectures of each.

    Raises:
        ValueError: no table, one without measurements, or one whose references describe no device.
    """
    if not tables or not all(len(table.architectures) for table in tables):
        raise ValueError("HELP's predictor needs measurements of at least one device")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = HelpPredictor(space)
    devices, onehot, targets = [], [], []
    for table in tables:
        device, low, width = known_device(table.name, table.features, len(space.references))
        devices.append(device)
        onehot.append(space.encode(table.architectures))
        targets.append(torch.as_tensor((np.asarray(table.values) - low) / width, dtype=torch.float32))
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(predictor.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        chosen = torch.randperm(len(tables), generator=generator)[:_DEVICES_A_STEP].tolist()
        rows = [torch.randint(len(targets[t]), (_ARCHITECTURES_A_STEP,), generator=generator) for t in chosen]
        loss = predictor.query_loss(
            torch.stack([devices[t] for t in chosen]),
            torch.stack([onehot[t][r] for t, r in zip(chosen, rows, strict=True)]),
            torch.stack([targets[t][r] for t, r in zip(chosen, rows, strict=True)]),
        )
        adam.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
        adam.step()
        schedule.step()
    return predictor
