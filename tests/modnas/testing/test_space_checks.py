"""The built-in spaces pass the checks that strangers run, and what is wrong does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from model_sources import Models
from torch import Tensor, nn

from modnas import Architecture, InputSpec, Space
from modnas.core.architecture import ArchitectureError
from modnas.testing import check_source, check_space

SMALL: dict[str, dict[str, Any]] = {
    "nasbench201": {"channels": 4, "cells": 1, "input_shape": (1, 8, 8)},
    "mobilenetv3": {"width_percent": 25, "classes": 10, "input_shape": (3, 64, 64), "min_side": 32},
    "transformer": {
        "classes": 60,
        "input_shape": (2, 9),
        "embed": 40,
        "ffn": 48,
        "heads": 4,
        "inner": 32,
        "norm_first": 1,
        "drop_percent": 0,
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_built_in_spaces_conform(name: str) -> None:
    check_space(name, **SMALL[name])


class Widths(Space):
    """One hidden layer of one of three widths, and two activations: the least that a space can be."""

    name = "widths"
    options = (3, 2)
    variant = "1"
    input_shape = (6,)

    @property
    def references(self) -> tuple[Architecture, ...]:
        return tuple(self.architecture((width, 0)) for width in range(3))

    def architecture(self, choices: Sequence[int]) -> Architecture:
        if len(choices) != 2 or not (0 <= choices[0] < 3 and 0 <= choices[1] < 2):
            raise ArchitectureError(f"no such layer: {choices}")
        return Architecture(self.name, f"{8 << choices[0]}{'rt'[choices[1]]}", (choices[0], choices[1]))

    def parse(self, text: str) -> Architecture:
        for width in range(3):
            for activation in range(2):
                found = self.architecture((width, activation))
                if text in (found.string, found.id):
                    return found
        raise ArchitectureError(f"no layer {text!r}")

    def is_usable(self, architecture: Architecture) -> bool:
        return True

    def predictor_features(self, onehot: Tensor) -> Tensor:
        return onehot

    def network(self, architecture: Architecture) -> nn.Module:
        width, activation = 8 << architecture.choices[0], (nn.ReLU, nn.Tanh)[architecture.choices[1]]
        return nn.Sequential(nn.Linear(6, width), activation(), nn.Linear(width, 2))


def test_a_space_without_supernetwork_conforms() -> None:
    check_space(Widths())


class Misread(Widths):
    def parse(self, text: str) -> Architecture:
        return self.architecture((0, 0))


class Negative(Widths):
    def architecture(self, choices: Sequence[int]) -> Architecture:
        return super().architecture([abs(choice) for choice in choices])


class Constant(Widths):
    def predictor_features(self, onehot: Tensor) -> Tensor:
        return onehot * 0


@pytest.mark.parametrize("space", [Misread(), Negative(), Constant()], ids=lambda space: type(space).__name__)
def test_a_space_with_a_fault_does_not(space: Space) -> None:
    with pytest.raises(AssertionError):
        check_space(space)


def test_sources_conform_or_not() -> None:
    pair = {"a": nn.Sequential(nn.Linear(6, 2)), "b": nn.Sequential(nn.Linear(6, 3))}
    check_source(Models(pair, InputSpec("input", (6,))))
    with pytest.raises(AssertionError, match="one name"):
        check_source(Models(pair, InputSpec("x", (6,)), InputSpec("x", (6,))))
    with pytest.raises(AssertionError, match="several lines"):
        check_source(Models({"a\nb": pair["a"]}, InputSpec("input", (6,))))

    class Random(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(())

    with pytest.raises(AssertionError, match="changes"):
        check_source(Models({"a": Random()}, InputSpec("input", (6,))))


def test_a_registered_space_is_checked_by_its_name() -> None:
    with pytest.raises(KeyError):
        check_space("chess")
