"""The paper's predictor for transformers (appendix D.1), to compare with: a network with a device branch.

Six hidden layers of width 400 on the architecture's encoding, two layers on the device's reference
measurements, both joined for the metric.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PaperNetwork(nn.Module):
    """(encoding, device's vector) -> metric, in units of its standard deviation.

    Args:
        inputs: width of the encoding.
        device_width: length of the device's vector.
    """

    def __init__(self, inputs: int, device_width: int, width: int = 400, layers: int = 6) -> None:
        super().__init__()
        sizes = [inputs, *([width] * layers)]
        self.body = nn.Sequential(
            *(part for n in range(layers) for part in (nn.Linear(sizes[n], sizes[n + 1]), nn.ReLU()))
        )
        self.device = nn.Sequential(
            nn.Linear(device_width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(2 * width, 1)

    def forward(self, encoding: Tensor, device: Tensor) -> Tensor:
        """(n, inputs) and (n, device_width) -> (n,)."""
        joined = torch.cat([self.body(encoding), self.device(device)], 1)
        result: Tensor = self.head(joined)[:, 0]
        return result


def fit_paper_network(
    encodings: Tensor, devices: Tensor, values: Tensor, *, epochs: int = 60, batch: int = 128, seed: int = 0
) -> PaperNetwork:
    """Fit by Adam and mean squared error, the learning rate falling to zero.

    Args:
        encodings: (n, inputs), about standardised; devices: (n, device_width); values: (n,), standardised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PaperNetwork(encodings.shape[1], devices.shape[1])
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(values), generator=generator), batch):
            loss = (network(encodings[rows], devices[rows]) - values[rows]).square().mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
    return network.eval()
