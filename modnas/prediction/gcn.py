"""The paper's hardware predictor, to compare with: a graph convolutional network with the device's vector.

A NAS-Bench-201 cell is a graph of 8 nodes: its input, its six operators, its output; the layers are 100 wide.
Sources: Kipf and Welling, 2017, for the layer; Lee et al. (HELP), 2021, for node features and width. The
network is fitted on all devices together by plain regression, without HELP's meta-learning.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from modnas.prediction.device_vectors import known_device
from modnas.prediction.measured import DeviceTable
from modnas.spaces import Architecture, Space
from modnas.spaces.nasbench201.cells import EDGES, OPERATORS

NODES, WIDTH, _LAYERS = len(EDGES) + 2, 100, 4


def normalised_adjacency() -> Tensor:
    """Rows of mean weights over a node, its predecessors and its successors: (8, 8), node 0 the input."""
    links = torch.eye(NODES)
    for a, (i, j) in enumerate(EDGES, start=1):
        if i == 0:
            links[0, a] = 1
        if j == EDGES[-1][1]:
            links[a, NODES - 1] = 1
        for b, (k, _) in enumerate(EDGES, start=1):
            if k == j:
                links[a, b] = 1
    links = ((links + links.T) > 0).float()
    return links / links.sum(1, keepdim=True)


class GraphPredictor(nn.Module):
    """(cell, device's scaled references) -> metric on the scale of the references.

    Args:
        device_width: number of reference measurements, D.
    """

    adjacency: Tensor

    def __init__(self, device_width: int) -> None:
        super().__init__()
        kinds = len(OPERATORS) + 2
        self.register_buffer("adjacency", normalised_adjacency(), persistent=False)
        sizes = [kinds, *[WIDTH] * _LAYERS]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.device = nn.Sequential(
            nn.Linear(device_width, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, onehot: Tensor, vectors: Tensor) -> Tensor:
        """Cells (n, 30) and device vectors (n, D) -> (n,), differentiable in both."""
        nodes = onehot.new_zeros(len(onehot), NODES, len(OPERATORS) + 2)
        nodes[:, 1:-1, : len(OPERATORS)] = onehot.view(-1, len(EDGES), len(OPERATORS))
        nodes[:, 0, -2] = 1
        nodes[:, -1, -1] = 1
        for layer in self.layers:
            nodes = layer(self.adjacency @ nodes).relu()
        result: Tensor = self.head(torch.cat([nodes.mean(1), self.device(vectors)], 1)).squeeze(1)
        return result

    @torch.no_grad()
    def predict(
        self, space: Space, architectures: Sequence[Architecture], device_features: ArrayLike
    ) -> NDArray[np.float64]:
        """Values in the unit of the device's reference measurements (D,): (n,)."""
        vector, low, range_ = known_device("the device", device_features, len(space.references))
        onehot = space.encode(architectures)
        values = self(onehot, vector.expand(len(onehot), -1)).double() * range_ + low
        return np.asarray(values.numpy())


def fit_graph_predictor(
    space: Space, tables: Sequence[DeviceTable], *, epochs: int = 40, batch_size: int = 256, seed: int = 0
) -> GraphPredictor:
    """Fit on several devices by mean squared error, each device on the scale of its references.

    Raises:
        ValueError: a table whose references describe no device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GraphPredictor(len(space.references))
    data = regression_data(space, tables)
    generator = torch.Generator().manual_seed(seed)
    train_regression(
        network, data, epochs=epochs, batch_size=batch_size, learning_rate=2e-3, generator=generator
    )
    return network


def adapt(
    network: GraphPredictor,
    space: Space,
    device_features: ArrayLike,
    further: tuple[Sequence[Architecture], ArrayLike] = ((), ()),
    *,
    epochs: int = 50,
    seed: int = 0,
) -> GraphPredictor:
    """A copy trained on one device's measurements: its references and `further` ones in the same unit."""
    vector, low, range_ = known_device("the device", device_features, len(space.references))
    onehot = space.encode([*space.references, *further[0]])
    values = torch.as_tensor(np.concatenate([np.asarray(device_features), np.asarray(further[1])]))
    adapted = copy.deepcopy(network)
    data = onehot, vector.expand(len(onehot), -1), ((values - low) / range_).float()
    generator = torch.Generator().manual_seed(seed)
    train_regression(
        adapted, data, epochs=epochs, batch_size=len(onehot), learning_rate=1e-4, generator=generator
    )
    return adapted


def regression_data(space: Space, tables: Sequence[DeviceTable]) -> tuple[Tensor, Tensor, Tensor]:
    """Encodings (n, width), device vectors (n, D) and scaled values (n,) of several devices, stacked.

    Raises:
        ValueError: a table whose references describe no device.
    """
    inputs, vectors, targets = [], [], []
    for table in tables:
        vector, low, range_ = known_device(table.name, table.features, len(space.references))
        values = torch.as_tensor(np.array(table.values, np.float64))
        inputs.append(space.encode(table.architectures))
        vectors.append(vector.expand(len(values), -1))
        targets.append(((values - low) / range_).float())
    return torch.cat(inputs), torch.cat(vectors), torch.cat(targets)


def train_regression(
    network: nn.Module,
    data: tuple[Tensor, Tensor, Tensor],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> None:
    """Mean squared error of `network(onehot, vectors)`, by Adam whose learning rate falls as a cosine."""
    rows = len(data[2])
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    steps = epochs * -(-rows // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(rows, generator=generator), batch_size):
            onehot, vectors, targets = (part[chosen] for part in data)
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(network(onehot, vectors), targets)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
