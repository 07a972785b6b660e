"""The paper's hardware predictor outside of NAS-Bench-201, to compare with: two branches of fully connected
layers 100 wide, one for the architecture's encoding and one for the device's vector, and a common head.

Source: the MODNAS paper, appendix D; fitted on all devices together by plain regression. Blocks that a
network does not have are zeros, as in HELP's encoding (Lee et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from modnas.prediction.device_vectors import known_device
from modnas.prediction.gcn import regression_data, train_regression
from modnas.prediction.measured import DeviceTable
from modnas.spaces import Architecture, Space

WIDTH = 100


def _branch(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())


class TwoBranchPredictor(nn.Module):
    """(architecture, device's scaled references) -> metric on the scale of the references."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        width = space.chosen_features(torch.zeros(1, space.width)).shape[1]
        self.architecture, self.device = _branch(width), _branch(len(space.references))
        self.head = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, onehot: Tensor, vectors: Tensor) -> Tensor:
        """One-hot rows (n, width) and device vectors (n, D) -> (n,), differentiable in both."""
        chosen = self.architecture(self.space.chosen_features(onehot))
        result: Tensor = self.head(torch.cat([chosen, self.device(vectors)], dim=1)).squeeze(1)
        return result

    @torch.no_grad()
    def predict(
        self, architectures: Sequence[Architecture], device_features: ArrayLike
    ) -> NDArray[np.float64]:
        """Values in the unit of the device's reference measurements (D,): (n,)."""
        vector, low, span = known_device("the device", device_features, len(self.space.references))
        onehot = self.space.encode(architectures)
        return np.asarray((self(onehot, vector.expand(len(onehot), -1)).double() * span + low).numpy())


def fit_two_branch(
    space: Space, tables: Sequence[DeviceTable], *, epochs: int = 40, batch_size: int = 256, seed: int = 0
) -> TwoBranchPredictor:
    """Fit on several devices by mean squared error, each on the scale of its references.

    Raises:
        ValueError: a table whose references describe no device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TwoBranchPredictor(space)
    data = regression_data(space, tables)
    generator = torch.Generator().manual_seed(seed)
    train_regression(
        network, data, epochs=epochs, batch_size=batch_size, learning_rate=2e-3, generator=generator
    )
    return network
