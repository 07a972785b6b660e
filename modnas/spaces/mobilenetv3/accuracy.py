"""Once-for-all's accuracy predictor as a differentiable task loss: no images, no supernetwork.

Source of the form: Cai et al., "Once for All: Train One Network and Specialize it for Efficient Deployment",
ICLR 2020, and the authors' package `ofa`: layers 128-400-400-400-1 with ReLU between. The inputs are,
one-hot, the kernels and the expansions of the 20 blocks, zero where there is no block, and the input size in
eight bins of 16 pixels from 112 on. The output is ImageNet top-1 as a fraction.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modnas.spaces.mobilenetv3.space import MobileNetV3
from modnas.spaces.mobilenetv3.work import Decisions

SIZES = (128, 400, 400, 400, 1)
_BINS, _FIRST, _STEP = 8, 112, 16


class AccuracyModel(nn.Module):
    """Error of one-hot samples in percent; a `BatchedTaskLoss` whose batches are ignored.

    Args:
        space: one with input sides of 112 to 239 pixels.
        arrays: `w0`, `b0` to `w3`, `b3`, weights (outputs, inputs) and biases.

    Raises:
        ValueError: an array is missing or has another shape, or the space has other input sizes.
    """

    bins: Tensor

    def __init__(self, space: MobileNetV3, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        places = [(side - _FIRST) // _STEP for side in space.sides]
        if min(places) < 0 or max(places) >= _BINS:
            raise ValueError(f"the accuracy model knows inputs of 112 to 239 pixels, not {space.variant}")
        self.register_buffer("bins", nn.functional.one_hot(torch.tensor(places), _BINS).float())
        layers = []
        for number, (inputs, outputs) in enumerate(itertools.pairwise(SIZES)):
            layer = nn.Linear(inputs, outputs)
            for parameter, name in ((layer.weight, f"w{number}"), (layer.bias, f"b{number}")):
                values = torch.from_numpy(np.asarray(arrays.get(name, ()), dtype=np.float32))
                if values.shape != parameter.shape:
                    raise ValueError(f"{name} of an accuracy model has shape {tuple(parameter.shape)}")
                parameter.data = values
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1]).requires_grad_(False)

    def forward(self, onehot: Tensor) -> Tensor:
        """Error in percent, smaller is better: (n, 160) -> (n,)."""
        decisions = Decisions.of(onehot)
        blocks = decisions.present()[:, decisions.depth[0].numel() : -decisions.resolution.shape[1]]
        accuracy = self.layers(torch.cat([blocks, decisions.resolution @ self.bins], dim=1))
        error: Tensor = 100 * (1 - accuracy.squeeze(1))
        return error

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        """Error of one sample (160,), percent."""
        return self.losses(sample.unsqueeze(0), batch)[0]

    def losses(self, samples: Tensor, batch: Any) -> Tensor:
        """Errors, percent: (n, 160) -> (n,)."""
        result: Tensor = self(samples)
        return result

    @torch.no_grad()
    def error(self, sample: Tensor) -> float:
        """Error of one sample (160,), percent."""
        return float(self.loss(sample, None))
