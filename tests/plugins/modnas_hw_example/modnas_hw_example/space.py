"""Three convolutions in a row, each with a kernel and a width to choose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from modnas.core.preset import Preset, Recipe
from modnas.spaces import Architecture, ArchitectureError, Space

KERNELS, WIDTHS, LAYERS = (1, 3, 5), (4, 8, 12), 3


class Stacks(Space):
    """Architectures read `3x8-1x4-5x12`: kernel and width of each layer."""

    name = "stacks"
    options = (len(KERNELS), len(WIDTHS)) * LAYERS
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            space={},
            profile_archs=12,
            batch_size=64,
            threads=1,
            search={"epochs": 4, "smoothing": 10},
            front_size=6,
            recipe=Recipe(epochs=2),
        )
    }

    def __init__(self, classes: int = 10, input_shape: tuple[int, ...] = (1, 8, 8)) -> None:
        self.classes, self._input_shape = classes, tuple(input_shape)

    @property
    def variant(self) -> str:
        return "x".join(map(str, self._input_shape)) + f"-{self.classes}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self._input_shape

    @property
    def references(self) -> tuple[Architecture, ...]:
        return tuple(self.sample(10, torch.Generator().manual_seed(0)))

    def architecture(self, choices: Sequence[int]) -> Architecture:
        if len(choices) != len(self.options) or not all(
            0 <= c < n for c, n in zip(choices, self.options, strict=True)
        ):
            raise ArchitectureError(f"{choices} are no choices of {self.name}")
        text = "-".join(f"{KERNELS[k]}x{WIDTHS[w]}" for k, w in zip(choices[::2], choices[1::2], strict=True))
        return Architecture(self.name, text, tuple(choices))

    def parse(self, text: str) -> Architecture:
        for choices in itertools.product(*(range(n) for n in self.options)):
            found = self.architecture(choices)
            if text in (found.string, found.id):
                return found
        raise ArchitectureError(f"{text!r} is no architecture of {self.name}; one is 3x8-1x4-5x12")

    def is_usable(self, architecture: Architecture) -> bool:
        return True

    def predictor_features(self, onehot: Tensor) -> Tensor:
        return onehot

    def network(self, architecture: Architecture) -> nn.Module:
        layers: list[nn.Module] = []
        channels = self._input_shape[0]
        for k, w in zip(architecture.choices[::2], architecture.choices[1::2], strict=True):
            kernel, width = KERNELS[k], WIDTHS[w]
            layers += [
                nn.Conv2d(channels, width, kernel, padding=kernel // 2),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, self.classes)
        )
