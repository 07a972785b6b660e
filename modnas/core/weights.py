"""Weights from a file of named tensors: a supernetwork's, and a check of any module's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from modnas.core.bounded import TooLargeError, check_file

# How a search's checkpoint names the supernetwork's tensors, beside others (see `modnas.search`).
_IN_CHECKPOINT = "supernetwork."
_LARGEST = 1 << 33  # bytes; supernetworks have some hundred million
# Tensors of another network that are named.
_NAMED = 10


def read_weights(path: Path) -> tuple[dict[str, Tensor], int]:
    """A supernetwork's state dict from a safetensors file, or out of a search's checkpoint.

    And the number of tensors that a checkpoint has besides.

    Raises:
        ValueError: the file is missing, too large, or no safetensors file.
    """
    try:
        check_file(path, _LARGEST)
        tensors: dict[str, Tensor] = load_file(path)
    except TooLargeError as error:
        raise ValueError(str(error)) from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"no safetensors file that can be read: {error}") from error
    inside = {n.removeprefix(_IN_CHECKPOINT): t for n, t in tensors.items() if n.startswith(_IN_CHECKPOINT)}
    return (inside, len(tensors) - len(inside)) if inside else (tensors, 0)


def set_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take over a whole state dict, or nothing of it.

    Raises:
        ValueError: tensors are missing, unknown or of another shape, of which ten are named; or they are of
            another kind or have values that are no numbers, of which all are.
    """
    own = module.state_dict()
    if unfit := [*_unfitting(own, state)]:
        raise ValueError(f"the state dict is of another network: {named(unfit)}")
    flaws = {name: _flaw(name, kept, state[name]) for name, kept in own.items()}
    if bad := [f"{name} ({flaw})" for name, flaw in flaws.items() if flaw]:
        raise ValueError(f"{len(bad):,} of {len(own):,} tensors cannot be used: {', '.join(bad)}")
    module.load_state_dict(state)


def _unfitting(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Tensors that are missing, unknown or of another shape, and which of these they are."""
    for name, kept in own.items():
        if name not in state:
            yield f"{name} is missing"
        elif state[name].shape != kept.shape:
            yield f"{name} has the shape {_shape(state[name])} in place of {_shape(kept)}"
    yield from (f"{name} is unknown" for name in state if name not in own)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


def named(things: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    more = f" and {len(things) - _NAMED:,} more" if len(things) > _NAMED else ""
    return f"{', '.join(things[:_NAMED])}{more}"


def _flaw(name: str, kept: Tensor, given: Tensor) -> str | None:
    """Why a tensor cannot take the place of one of its shape; None if it can."""
    if not kept.is_floating_point():
        return None  # a count of batches, which decides nothing
    if not given.is_floating_point():
        return f"{given.dtype} in place of {kept.dtype}".replace("torch.", "")
    if wrong := int((~given.to(kept.dtype).isfinite()).sum()):
        return f"{wrong:,} of {given.numel():,} values are no finite number"
    if name.endswith("running_var") and bool((given < 0).any()):
        return "negative variances"
    return None
