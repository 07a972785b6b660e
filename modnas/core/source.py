"""Where architectures come from: what measuring needs to know of a search space, or of somebody's models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import nn

from modnas.core.architecture import Architecture, ArchitectureError, shown
from modnas.core.inputs import InputSpec


class GraphWriter(Protocol):
    """Writes networks as ONNX whose torch.fx graph does not say everything, such as a loop's length.

    Attributes:
        version: raise it when what is timed of the same network changes: older measurements are then others'.
    """

    version: int

    def timed(self, module: nn.Module, inputs: Sequence[InputSpec]) -> bytes:
        """What `ArchitectureSource.module` gave, with these inputs, batch dimension included, and an output
        `output`. Raises ExportError."""

    def deployed(self, network: nn.Module) -> bytes:
        """A trained network as an application uses it. Raises ExportError."""


class ArchitectureSource(ABC):
    """Architectures that can be measured, compared and verified: a search space, or models of one's own.

    `name` is the source's; `variant` a short text that changes whenever networks of the same names do, such
    as a version or a hash: what was measured under both is not measured again.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the source, without a colon: the first part of `Architecture.id`."""

    @property
    @abstractmethod
    def variant(self) -> str:
        """Everything but an architecture's own text that shapes its network, as a short text."""

    @property
    @abstractmethod
    def architectures(self) -> Sequence[Architecture] | None:
        """All of them, each once and always in the same order; None where they are too many to list."""

    @abstractmethod
    def inputs(self, architecture: Architecture) -> tuple[InputSpec, ...]:
        """What its module takes, in this order; shapes without the batch dimension."""

    @abstractmethod
    def module(self, architecture: Architecture) -> nn.Module | Path:
        """What is measured: a module, or the path of an ONNX file.

        A module takes the inputs with a batch dimension, in their order, and returns one tensor. It is put
        into evaluation mode, not changed otherwise. A file holds its weights itself, and its inputs have the
        names, order, types and shapes of `inputs`.
        """

    @property
    def anchor(self) -> Architecture:
        """The architecture whose repeated measurement tells whether a device drifts: the first, unless
        overridden. Raises ArchitectureError."""
        if not self.architectures:
            raise ArchitectureError(f"{self.name} has no architecture; a source needs at least one")
        return self.architectures[0]

    @property
    def writer(self) -> GraphWriter | None:
        """What writes its networks as ONNX; None: their torch.fx graph says everything."""
        return None

    def parse(self, text: str) -> Architecture:
        """The architecture with this string, with or without `<name>:`. Raises ArchitectureError."""
        string = text.strip().removeprefix(f"{self.name}:")
        for architecture in self.architectures or ():
            if architecture.string == string:
                return architecture
        raise ArchitectureError(f"{self.name} has no architecture {shown(string)}")

    def from_published(self, content: object) -> Architecture | None:
        """The architecture that others' files describe by this value of JSON, YAML or a Python literal.

        None for what is no form that the source knows: its own strings are `parse`'s. Raises
        ArchitectureError for a known form that says something else than an architecture of this source.
        """
        return None
