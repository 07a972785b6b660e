"""One member of a search space, and how its choices lie in an encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modnas.core.errors import InputError

_LONGEST_SHOWN = 200


def shown(text: str) -> str:
    """A text in quotes for a message, its beginning if it is long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…")


class ArchitectureError(InputError, ValueError):
    """A text or a list of choices that names no architecture of the space."""

    code = "architecture"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One member of a space. Made by the space (`parse`, `architecture`, `sample`), never by hand.

    `choices` holds one option index per decision; `string` is the space's canonical text for it. A source
    that is no space has models that nothing is chosen of: `Architecture("mine", "resnet18")`.
    """

    space: str
    string: str
    choices: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Canonical id, unique over all spaces: `<space>:<string>`."""
        return f"{self.space}:{self.string}"

    def __str__(self) -> str:
        return self.id


def read_choices(onehot: Tensor, options: Sequence[int]) -> tuple[int, ...]:
    """Option indices out of one encoding or its logits, shape (sum(options),): one argmax a decision."""
    return tuple(int(row.argmax()) for row in torch.split(onehot, list(options)))
