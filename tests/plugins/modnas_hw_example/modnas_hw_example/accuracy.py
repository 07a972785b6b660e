"""Errors without training: what a linear readout makes of an untrained network's outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness import ComputedAccuracy
from modnas import Architecture


class Readout(ComputedAccuracy):
    """Fitted by least squares on the training split, judged on the validation split."""

    def errors(self, architectures: Sequence[Architecture]) -> list[float]:
        """In percent, of networks with the same initial weights each time."""
        return [self._error(architecture) for architecture in architectures]

    def _error(self, architecture: Architecture) -> float:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            network = self.space.network(architecture)
            outputs, labels = self._outputs(network, "train")
            weights = torch.linalg.lstsq(outputs, nn.functional.one_hot(labels).double()).solution
            outputs, labels = self._outputs(network, "valid")
        return 100 * ((outputs @ weights).argmax(1) != labels).double().mean().item()

    def _outputs(self, network: nn.Module, split: str) -> tuple[Tensor, Tensor]:
        batches = [(network(inputs), labels) for inputs, labels in self.task.batches(split, 512)]
        outputs, labels = (torch.cat(part) for part in zip(*batches, strict=True))
        return torch.cat([outputs, torch.ones(len(outputs), 1)], dim=1).double(), labels
