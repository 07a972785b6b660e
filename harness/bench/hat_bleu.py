"""BLEU of a transformer from the networks that HAT published: a task loss without a supernetwork.

Few networks, so a linear model of what they mostly differ in: logarithms of the parameters of encoder,
decoder and both, the number of decoder layers, and a level for each task. Its leave-one-out error says what
it is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.datasets.hat import TASK, Floats, Published
from modnas.spaces.transformer import Transformer
from modnas.spaces.transformer.plan import hat_features

_INNER = 512
_RIDGE = 0.01
# Standard deviation that the prior gives a task's level: so large that levels are free.
_LEVEL = 10.0


def size_features(averages: Tensor) -> Tensor:
    """Four sizes, (n, 4), differentiable, of HAT's ten averages (n, 10)."""
    e, layers, e_ffn, _, d, depth, d_ffn, *_ = averages.unbind(-1)
    encoder = layers * (4 * e * _INNER + 2 * e * e_ffn)
    decoder = depth * ((6 * d + 2 * e) * _INNER + 2 * d * d_ffn)
    return torch.stack([encoder.log(), decoder.log(), (encoder + decoder).log(), depth], -1)


class BleuSurrogate:
    """A `modnas.core.task.BatchedTaskLoss` of the task WMT'14 En-De.

    Args:
        published: networks with BLEU, of any of the tasks.
    """

    def __init__(self, space: Transformer, published: Sequence[Published]) -> None:
        self.space, self.published = space, tuple(published)
        sizes = size_features(_averages(published)).numpy()
        self._mean, self._sd = sizes.mean(0), sizes.std(0)
        self._tasks = sorted({p.task for p in published})
        self._rows = self._design(published)
        self._bleu = np.array([p.bleu for p in published])
        self._weights = _ridge(self._rows, self._bleu)

    def _design(self, networks: Sequence[Published]) -> Floats:
        sizes = (size_features(_averages(networks)).numpy() - self._mean) / self._sd
        levels = [[_LEVEL * (p.task == task) for task in self._tasks] for p in networks]
        return np.concatenate([sizes, np.array(levels)], 1)

    def leave_one_out(self) -> Floats:
        """Predicted less published BLEU of each network, predicted from all others: (n,)."""
        found = []
        for n, row in enumerate(self._rows):
            others = np.arange(len(self._rows)) != n
            found.append(row @ _ridge(self._rows[others], self._bleu[others]) - self._bleu[n])
        return np.array(found)

    def bleu(self, samples: Tensor) -> Tensor:
        """BLEU of one-hot rows, (n, width) -> (n,), differentiable."""
        sizes = size_features(self.space.average_features(samples.double()))
        scaled = (sizes - torch.from_numpy(self._mean)) / torch.from_numpy(self._sd)
        level = _LEVEL * self._weights[4 + self._tasks.index(TASK)]
        found: Tensor = scaled @ torch.from_numpy(self._weights[:4]) + level
        return found

    def losses(self, samples: Tensor, batch: Any) -> Tensor:
        """100 - BLEU of each row: (n, width) -> (n,)."""
        return (100.0 - self.bleu(samples)).to(samples.dtype)

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        """100 - BLEU of one architecture (width,)."""
        return self.losses(sample.unsqueeze(0), batch)[0]

    @torch.no_grad()
    def error(self, sample: Tensor) -> float:
        """100 - BLEU of one architecture (width,)."""
        return float(self.loss(sample, None))


def _averages(networks: Sequence[Published]) -> Tensor:
    return torch.tensor([hat_features(p.plan) for p in networks], dtype=torch.float64)


def _ridge(rows: Floats, values: Floats) -> Floats:
    return np.asarray(np.linalg.solve(rows.T @ rows + _RIDGE * np.eye(rows.shape[1]), rows.T @ values))
