"""What every search space offers to the search and the predictor, beside what measuring needs."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from modnas.core.architecture import Architecture, read_choices
from modnas.core.inputs import InputSpec
from modnas.core.preset import DEFAULT_PRESETS, Preset
from modnas.core.source import ArchitectureSource
from modnas.core.supernetwork import NoSupernetworkError, Supernetwork
from modnas.core.weights import Fit, read_weights, set_fitting_weights, set_weights, unwrapped


class Space(ArchitectureSource):
    """A search space together with the size of the networks built from it.

    One that is to be searched by name is made with the sizes of a preset, with `classes` (outputs, or the
    vocabulary) and with `input_shape` (of one input, without the batch dimension), which are the task's.

    A flat *encoding* of width `sum(options)` concatenates one one-hot row per decision; `options[k]` is the
    number of choices of decision k. All tensors named `onehot`, `sample` or `logits` use that layout.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[int, ...]]
    # Embedding tables of a MetaHypernetwork, as (width, index of the preference); None: its default ones.
    tables: ClassVar[tuple[tuple[int, int], ...] | None] = None
    # Settings of searches by name.
    presets: ClassVar[Mapping[str, Preset]] = DEFAULT_PRESETS

    @property
    def width(self) -> int:
        """Length of the flat encoding."""
        return sum(self.options)

    @property
    def size(self) -> int:
        """Number of usable architectures, or an upper bound where they are too many to count."""
        return math.prod(self.options)

    @property
    @abstractmethod
    def variant(self) -> str:
        """Short text for everything but the choices that shapes a network (channels, input size, ...)."""

    @property
    def architectures(self) -> Sequence[Architecture] | None:
        """None, unless a space is small enough to list."""
        return None

    @property
    def anchor(self) -> Architecture:
        """The first reference."""
        return self.references[0]

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension; the largest, where architectures differ in it."""

    def inputs(self, architecture: Architecture) -> tuple[InputSpec, ...]:
        """One of float32, `input`, unless overridden."""
        return (InputSpec("input", self.input_shape_of(architecture)),)

    def input_shape_of(self, architecture: Architecture) -> tuple[int, ...]:
        """Shape of one input of an architecture's standalone network, without the batch dimension."""
        return self.input_shape

    @property
    @abstractmethod
    def references(self) -> tuple[Architecture, ...]:
        """The ten reference architectures whose measurements make a device's feature vector."""

    @abstractmethod
    def architecture(self, choices: Sequence[int]) -> Architecture:
        """The architecture with these option indices. Raises ArchitectureError."""

    @abstractmethod
    def parse(self, text: str) -> Architecture:
        """Read a canonical string, with or without the `<space>:` prefix. Raises ArchitectureError."""

    @abstractmethod
    def is_usable(self, architecture: Architecture) -> bool:
        """Whether the network's output depends on its input at all."""

    @property
    def unusable(self) -> Architecture | None:
        """One that is not usable, of which it is known without training that it only guesses; None where all
        are usable."""
        return None

    @abstractmethod
    def predictor_features(self, onehot: Tensor) -> Tensor:
        """Features for a hardware predictor, differentiable in `onehot`: (n, width) -> (n, features)."""

    def chosen_features(self, onehot: Tensor) -> Tensor:
        """Everything that is chosen and part of a network, whether or not a runtime executes it; the
        encoding unless overridden. Differentiable in `onehot`: (n, width) -> (n, features)."""
        return onehot

    def function_features(self, onehot: Tensor) -> Tensor:
        """Features for an accuracy model: equal for architectures that compute the same where that can be
        had, differentiable in `onehot`: (n, width) -> (n, features). The predictor's unless overridden."""
        return self.predictor_features(onehot)

    def multiply_adds(self, architectures: Sequence[Architecture]) -> Tensor | None:
        """Multiply-adds of one use of each network, batch 1, float64 of shape (n,); those of convolutions and
        matrix products, to about a tenth. None where the space does not tell."""
        return None

    @abstractmethod
    def network(self, architecture: Architecture) -> nn.Module:
        """The standalone network, freshly initialised."""

    def measured(self, network: nn.Module) -> nn.Module:
        """What of a standalone network is exported and timed: itself, unless using it takes several passes.

        Takes `inputs` with a batch dimension and returns one tensor.
        """
        return network

    def module(self, architecture: Architecture) -> nn.Module:
        """What is measured of the standalone network, freshly initialised."""
        return self.measured(self.network(architecture))

    def supernetwork(self) -> Supernetwork:
        """A freshly initialised supernetwork over the whole space.

        Raises NoSupernetworkError where the space has none: then its networks are trained one by one.
        """
        raise NoSupernetworkError(self.name)

    @property
    def has_supernetwork(self) -> bool:
        """Whether `supernetwork` gives one."""
        return type(self).supernetwork is not Space.supernetwork

    def read_weights(self, path: Path) -> tuple[dict[str, Tensor], int]:
        """The weights in a file by the names of this space's supernetwork, or with a wrapper's before them.

        And how much else the file has. It is a safetensors file of a state dict, or a search's checkpoint.

        Raises:
            ValueError: the file cannot be read.
        """
        return read_weights(path)

    def load_weights(self, supernetwork: Supernetwork, path: Path) -> int:
        """Give a supernetwork of this space the weights in a file, before anything is trained.

        Returns how much else the file has, which is not used: a checkpoint's other tensors. They may have
        been saved from a network in a wrapper (`module.`, `_orig_mod.`).

        Raises:
            ValueError: the file cannot be read, its weights are of another network, or some are no numbers.
        """
        state, others = self.read_weights(path)
        inside, outside = unwrapped(state, supernetwork.state_dict())
        set_weights(supernetwork, inside)
        return others + outside

    def load_fitting_weights(self, supernetwork: Supernetwork, path: Path) -> tuple[Fit, int]:
        """The same of a file that fits in part, such as one with a head for other classes.

        What does not fit stays as it was. Returns how far it went, and how much else the file has.

        Raises:
            ValueError: the file cannot be read, nothing of it fits, or some of what does are no numbers.
        """
        state, others = self.read_weights(path)
        inside, outside = unwrapped(state, supernetwork.state_dict())
        return set_fitting_weights(supernetwork, inside), others + outside

    def sample(self, count: int, generator: torch.Generator) -> list[Architecture]:
        """Draw `count` distinct usable architectures uniformly. Raises ValueError if there are too few."""
        if count > self.size:
            raise ValueError(f"space {self.name} has only {self.size} usable architectures")
        found: dict[Architecture, None] = {}
        misses = 0
        while len(found) < count:
            choices = [int(torch.randint(n, (), generator=generator)) for n in self.options]
            candidate = self.architecture(choices)
            if candidate in found or not self.is_usable(candidate):
                misses += 1
                if misses > 1000 * count:
                    raise ValueError(f"space {self.name} has fewer than {count} usable architectures")
                continue
            found[candidate] = None
        return list(found)

    def encode(self, architectures: Sequence[Architecture]) -> Tensor:
        """One-hot encoding, float32 of shape (n, width)."""
        choices = torch.tensor([a.choices for a in architectures], dtype=torch.long)
        return self.encode_choices(choices.view(len(architectures), len(self.options)))

    def encode_choices(self, choices: Tensor) -> Tensor:
        """One-hot encoding of option indices (n, decisions), float32 of shape (n, width)."""
        starts = torch.tensor([0, *self.options[:-1]]).cumsum(0)
        return torch.zeros(len(choices), self.width).scatter_(1, choices + starts, 1.0)

    def decode(self, logits: Tensor) -> Architecture:
        """The architecture to propose for logits of shape (width,): a usable one that they favour."""
        return self.read(logits)

    def simplified(self, architecture: Architecture) -> Architecture:
        """The plainest architecture that is the same network; itself, unless the space knows better."""
        return architecture

    def forms(self, architecture: Architecture) -> list[Architecture]:
        """The architectures that are the same network, the plainest first; it alone, unless the space knows
        others."""
        return [self.simplified(architecture)]

    def neighbours(self, architecture: Architecture, distance: int = 1) -> list[Architecture]:
        """`variations` in plainest form."""
        found = dict.fromkeys(self.simplified(other) for other in self.variations(architecture, distance))
        found.pop(architecture, None)
        return list(found)

    def variations(self, architecture: Architecture, distance: int = 1) -> list[Architecture]:
        """The usable architectures that differ in one to `distance` decisions."""
        found: dict[Architecture, None] = {}
        for decisions in itertools.combinations(range(len(self.options)), distance):
            for chosen in itertools.product(*(range(self.options[d]) for d in decisions)):
                choices = list(architecture.choices)
                for decision, option in zip(decisions, chosen, strict=True):
                    choices[decision] = option
                other = self.architecture(choices)
                if self.is_usable(other):
                    found[other] = None
        found.pop(architecture, None)
        return list(found)

    def read(self, onehot: Tensor) -> Architecture:
        """The architecture of one encoding, shape (width,): one argmax a decision."""
        return self.architecture(read_choices(onehot, self.options))
