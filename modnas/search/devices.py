"""A device as a search sees it: its vector, what is predicted there, and the range of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from modnas.prediction.device_vectors import device_vector
from modnas.prediction.measured import Measured
from modnas.spaces import Architecture, Space

_BLOCK = 4000  # architectures predicted at once, which bounds the memory
# One-hot samples (n, width) -> values (n,), or (n, metrics); differentiable in the samples.
Predict = Callable[[Tensor], Tensor]


class Predictor(Protocol):
    """What predicts a metric for any device, such as a `MetaPredictor`."""

    def bound(self, device_features: Tensor, further: Measured | None = None) -> Predict:
        """The predictor of the device with these reference measurements (D,), raw, and further ones."""


@dataclass(frozen=True)
class SearchDevice:
    """A device of a search; M is the number of objectives, the task's loss included.

    Args:
        name: unique among the devices of a search.
        features: the device's feature vector, shape (D,).
        predict: one-hot samples (n, width) -> hardware metrics (n, M - 1) in physical units, to be minimised,
            differentiable in the samples.
        low: smallest value of each metric over a sample of the space on this device, shape (M - 1,).
        high: largest value, shape (M - 1,).
    """

    name: str
    features: Tensor
    predict: Predict
    low: Tensor
    high: Tensor
    _known: dict[Architecture, NDArray[np.float64]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @torch.no_grad()
    def metrics(self, space: Space, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """What is predicted of architectures, each predicted once: (n, M - 1)."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._known]
        for start in range(0, len(new), _BLOCK):
            some = new[start : start + _BLOCK]
            values = self.predict(space.encode(some).to(self.features.device)).detach().double().cpu()
            self._known.update(zip(some, values.numpy(), strict=True))
        return np.stack([self._known[a] for a in architectures])

    @classmethod
    def predicted(
        cls, name: str, references: Mapping[str, ArrayLike], predict: Predict, sample: Tensor
    ) -> SearchDevice:
        """A device whose metrics `predict` tells.

        Args:
            references: by metric, what it took for the space's reference architectures, raw, (D,).
            sample: one-hot architectures (n, width) that give each metric's range; the search runs where
                they lie.
        """
        with torch.no_grad():
            values = predict(sample)
        vector = device_vector(references.values()).to(sample.device)
        return cls(name, vector, predict, values.amin(0), values.amax(0))

    @classmethod
    def known(
        cls,
        name: str,
        references: Mapping[str, ArrayLike],
        predictors: Mapping[str, Predictor],
        sample: Tensor,
        signs: Tensor | None = None,
        *,
        further: Mapping[str, Measured | None] | None = None,
    ) -> SearchDevice:
        """A device known by its reference measurements, learned or not, and a predictor for each metric.

        `references`, `sample`: as in `predicted`; the predictors are where the sample lies. `signs`: -1 for a
        metric that is to be maximised, else 1, (M - 1,); all are minimised without. `further`: by metric,
        what else was measured on the device.
        """
        bound = [
            predictor.bound(
                torch.as_tensor(np.array(references[metric], np.float64)).to(sample.device),
                (further or {}).get(metric),
            )
            for metric, predictor in predictors.items()
        ]

        def predict(onehot: Tensor) -> Tensor:
            values = torch.stack([one(onehot) for one in bound], dim=1)
            return values if signs is None else values * signs

        return cls.predicted(name, {metric: references[metric] for metric in predictors}, predict, sample)
