"""Architectures from elsewhere than a search space, and the inputs on which exports are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from harness.export.probe import probe
from modnas.core.architecture import Architecture
from modnas.core.inputs import InputSpec
from modnas.core.source import ArchitectureSource


class Models(ArchitectureSource):
    """Modules, or ONNX files, by their names; they take the same inputs."""

    name = "mine"
    variant = "1"

    def __init__(self, models: Mapping[str, nn.Module | Path], *inputs: InputSpec) -> None:
        self._models, self._inputs = dict(models), inputs

    @property
    def architectures(self) -> Sequence[Architecture]:
        return [Architecture(self.name, name) for name in self._models]

    def inputs(self, architecture: Architecture) -> tuple[InputSpec, ...]:
        return self._inputs

    def module(self, architecture: Architecture) -> nn.Module | Path:
        return self._models[architecture.string]


def probe_input(shape: tuple[int, ...]) -> Tensor:
    """One input of float32."""
    return probe([InputSpec("input", shape)])[0]
