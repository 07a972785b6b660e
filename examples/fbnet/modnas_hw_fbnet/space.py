"""FBNet's space as HW-NAS-Bench measured it: 22 layers in a row, nine options each.

Sources: Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
Search", CVPR 2019, table 1; Li et al., "HW-NAS-Bench", ICLR 2021, for the order of the options and the
strides at 32x32 pixels; the ten references are HELP's (Lee et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from torch import Tensor, nn

from modnas.spaces import Architecture, ArchitectureError, Space
from modnas_hw_fbnet.work import OPTIONS, SIDE, amounts, layers

_NAMES = tuple(OPTIONS)
_LAYERS = len(layers())
_REFERENCES = (
    "1866803437874325730137",
    "5485168530480245066005",
    "7275468066512407560332",
    "8161627168752018032254",
    "1707434661105677676312",
    "2245725722123146363201",
    "4455311042242050562525",
    "8844681803128858228148",
    "0767336174377084856851",
    "1240730564570143233306",
)


class FBNet(Space):
    """Architectures read `k3_e6-skip-...`: kernel, expansion and groups of each layer, first to last.

    What networks cost is known (`predictor_features`), and tables of their latencies can be imported;
    networks themselves are not built here.
    """

    name: ClassVar[str] = "fbnet"
    options: ClassVar[tuple[int, ...]] = (len(_NAMES),) * _LAYERS

    def __init__(self, classes: int = 100, input_shape: tuple[int, ...] = (3, SIDE, SIDE)) -> None:
        if tuple(input_shape) != (3, SIDE, SIDE):
            raise ValueError(f"{self.name} is described for inputs of (3, {SIDE}, {SIDE}), not {input_shape}")
        self.classes = classes

    @property
    def variant(self) -> str:
        return "x".join(map(str, self.input_shape)) + f"-{self.classes}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, SIDE, SIDE)

    @property
    def references(self) -> tuple[Architecture, ...]:
        return tuple(self.architecture([int(choice) for choice in text]) for text in _REFERENCES)

    def architecture(self, choices: Sequence[int]) -> Architecture:
        if len(choices) != _LAYERS or not all(0 <= c < len(_NAMES) for c in choices):
            raise ArchitectureError(f"a network has {_LAYERS} choices of 0 to {len(_NAMES) - 1}: {choices}")
        return Architecture(self.name, "-".join(_NAMES[c] for c in choices), tuple(int(c) for c in choices))

    def parse(self, text: str) -> Architecture:
        names = text.strip().removeprefix(f"{self.name}:").split("-")
        if not all(name in OPTIONS for name in names):
            raise ArchitectureError(
                f"not an FBNet network: {text.strip()!r} (expected {_LAYERS} of {', '.join(_NAMES)}, "
                "with hyphens between them)"
            )
        return self.architecture([_NAMES.index(name) for name in names])

    def is_usable(self, architecture: Architecture) -> bool:
        return True

    def predictor_features(self, onehot: Tensor) -> Tensor:
        """See `work.amounts`: (n, 48)."""
        return onehot @ _amounts().to(onehot)

    def network(self, architecture: Architecture) -> nn.Module:
        raise ArchitectureError(f"{self.name} builds no networks: import tables of their latencies")


@cache
def _amounts() -> Tensor:
    return amounts()
