"""Errors of standalone networks whose training starts from another one's weights.

The Lamarckian half of LEMONADE (Elsken et al., ICLR 2019): a child keeps what its parent has learnt, so that
a short training is enough. Where a convolution's kernel grows, the parent's is put into its middle, and the
child computes what the parent did (a network morphism); where it shrinks, the middle stays (an approximate
one). What has no counterpart of its shape starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modnas.accuracy.training import seeded_network, train
from modnas.core.architecture import Architecture
from modnas.core.space import Space
from modnas.core.task import AnyTask


@dataclass
class Lineage:
    """Errors of architectures, each trained when it is first asked for.

    Args:
        epochs: of one without a trained parent.
        child_epochs: of one whose parent was trained.
        settings: further ones of `modnas.accuracy.training.train`.
    """

    space: Space
    task: AnyTask
    epochs: int = 8
    child_epochs: int = 2
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    _parents: dict[Architecture, Architecture] = field(default_factory=dict, init=False, repr=False)
    _trained: dict[Architecture, tuple[dict[str, Tensor], float]] = field(
        default_factory=dict, init=False, repr=False
    )

    def descends(self, child: Architecture, parent: Architecture) -> None:
        """Where the weights come from that `child` starts with, if `parent` is trained by then."""
        self._parents[child] = parent

    def errors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Wrong labels, percent, (n,). Raises TrainingError where a training diverges."""
        for architecture in architectures:
            if architecture not in self._trained:
                self._trained[architecture] = self._train(architecture)
        return np.array([self._trained[a][1] for a in architectures])

    def _train(self, architecture: Architecture) -> tuple[dict[str, Tensor], float]:
        network = seeded_network(self.space, architecture, self.seed)
        parent = self._trained.get(self._parents.get(architecture, architecture))
        if parent is not None:
            inherit(network, parent[0])
        epochs = self.epochs if parent is None else self.child_epochs
        result = train(network, self.task, epochs=epochs, seed=self.seed, **self.settings)
        state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        return state, result.error


@torch.no_grad()
def inherit(network: nn.Module, state: Mapping[str, Tensor]) -> int:
    """Give a network what fits of another one's state, kernels of another size by their middle.

    Returns how many tensors were taken over.
    """
    taken = 0
    for name, own in network.state_dict().items():
        given = state.get(name)
        if given is None:
            continue
        if given.shape == own.shape:
            own.copy_(given)
        elif own.dim() == given.dim() == 4 and own.shape[:2] == given.shape[:2]:
            _copy_middle(own, given)
        else:
            continue
        taken += 1
    return taken


def _copy_middle(own: Tensor, given: Tensor) -> None:
    """Kernels (outputs, inputs, height, width) of odd sides: zeros around the smaller, the larger cropped."""
    own.zero_()
    height, width = (min(own.shape[dim], given.shape[dim]) for dim in (2, 3))
    _middle(own, height, width).copy_(_middle(given, height, width))


def _middle(kernels: Tensor, height: int, width: int) -> Tensor:
    top, left = (kernels.shape[2] - height) // 2, (kernels.shape[3] - width) // 2
    return kernels[:, :, top : top + height, left : left + width]
