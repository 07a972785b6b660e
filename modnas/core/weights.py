"""Weights of a supernetwork from a file of named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from modnas.core.supernetwork import Supernetwork

# How a search's checkpoint names the supernetwork's tensors, beside others (see `modnas.search`).
_IN_CHECKPOINT = "supernetwork."


def read_weights(path: Path) -> dict[str, Tensor]:
    """A supernetwork's state dict from a safetensors file, or out of a search's checkpoint.

    Raises:
        ValueError: the file is missing, or no safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"no safetensors file that can be read: {error}") from error
    inside = {n.removeprefix(_IN_CHECKPOINT): t for n, t in tensors.items() if n.startswith(_IN_CHECKPOINT)}
    return inside or tensors


def set_weights(supernetwork: Supernetwork, state: Mapping[str, Tensor]) -> None:
    """Take over a whole state dict.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape.
    """
    try:
        supernetwork.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the state dict is of another network: {reason[:300]}") from error
