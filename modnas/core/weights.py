"""Weights from a file of named tensors: a supernetwork's, and a check of any module's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
# What `torch.compile` puts before the names in a part that it was given.
_COMPILED = "._orig_mod."


@dataclass(frozen=True)
class Fit:
    """How far weights fitted a network.

    Attributes:
        loaded: tensors that were taken over.
        total: those that the network has.
        unfit: a few words on each that is missing, of another shape, or unknown.
    """

    loaded: int
    total: int
    unfit: tuple[str, ...] = ()

    def __str__(self) -> str:
        whole = f"{self.loaded:,} of {self.total:,} tensors loaded"
        return f"{whole}; not: {named(self.unfit)}" if self.unfit else whole


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


def unwrapped(state: Mapping[str, Tensor], own: Iterable[str]) -> tuple[dict[str, Tensor], int]:
    """A state dict by a network's own names, whatever wrapped the network when its weights were saved.

    Wrappers put something before all names, such as `module.` or `state_dict.model.`: that with which most
    are the network's own. And the number of tensors that do not begin with it.

    Raises:
        ValueError: there are several networks' weights, such as a moving average beside them.
    """
    wanted = set(own)
    state = {n if n in wanted else n.replace(_COMPILED, "."): tensor for n, tensor in state.items()}
    found: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in wanted:
                found["".join(f"{part}." for part in parts[:start])] += 1
    most = max(found.values(), default=0)
    wrappers = sorted(wrapper for wrapper, count in found.items() if count == most)
    if not wrappers or "" in wrappers:
        return state, 0
    if len(wrappers) > 1 and 2 * most > len(wanted):
        both = ", ".join(f"{wrapper}*" for wrapper in wrappers[:_NAMED])
        raise ValueError(f"it has the same tensors several times, as {both}: keep those that are meant")
    inside = {n.removeprefix(wrappers[0]): t for n, t in state.items() if n.startswith(wrappers[0])}
    return inside, len(state) - len(inside)


def set_fitting_weights(module: nn.Module, state: Mapping[str, Tensor]) -> Fit:
    """Take over what of a state dict fits; everything else of the module stays as it is.

    Counts of batches, which decide nothing and which not all who publish weights keep, are not counted.

    Raises:
        ValueError: nothing fits, of which ten are named; or what does is of another kind or has values that
            are no numbers, of which all are.
    """
    whole = module.state_dict()
    own = {name: tensor for name, tensor in whole.items() if tensor.is_floating_point()}
    given = {name: tensor for name, tensor in state.items() if name in own or name not in whole}
    fitting = {name: t for name, t in given.items() if name in own and t.shape == own[name].shape}
    unfit = tuple(_unfitting(own, given))
    if not fitting:
        raise ValueError(f"the state dict is of another network: {named(unfit)}")
    _check_values(own, fitting)
    module.load_state_dict(fitting, strict=False)
    return Fit(len(fitting), len(own), unfit)


def set_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take over a whole state dict, or nothing of it.

    Raises:
        ValueError: tensors are missing, unknown or of another shape, of which ten are named; or they are of
            another kind or have values that are no numbers, of which all are.
    """
    own = module.state_dict()
    if unfit := [*_unfitting(own, state)]:
        raise ValueError(f"the state dict is of another network: {named(unfit)}")
    _check_values(own, state)
    module.load_state_dict(state)


def _check_values(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    flaws = {name: _flaw(name, own[name], tensor) for name, tensor in state.items()}
    if bad := [f"{name} ({flaw})" for name, flaw in flaws.items() if flaw]:
        raise ValueError(f"{len(bad):,} of {len(own):,} tensors cannot be used: {', '.join(bad)}")


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
