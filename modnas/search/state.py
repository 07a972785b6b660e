"""A search's state as named tensors, the form safetensors can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from modnas.core.weights import set_weights


def pack_module(prefix: str, module: Module) -> dict[str, Tensor]:
    """Copies of a module's parameters and buffers under `<prefix>.<name>`."""
    return {
        f"{prefix}.{name}": value.detach().clone().contiguous() for name, value in module.state_dict().items()
    }


def unpack_module(prefix: str, module: Module, tensors: Mapping[str, Tensor]) -> None:
    """Load what `pack_module` wrote. Raises ValueError as `set_weights` does."""
    set_weights(module, _under(prefix, tensors))


def pack_optimizer(prefix: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """Copies of the state of each parameter under `<prefix>.<parameter index>.<name>`."""
    return {
        f"{prefix}.{index}.{name}": value.detach().clone().contiguous()
        for index, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
        if isinstance(value, Tensor)
    }


def unpack_optimizer(prefix: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what `pack_optimizer` wrote; settings such as the learning rate stay the optimiser's own."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(prefix, tensors).items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def pack_generator(prefix: str, generator: torch.Generator) -> dict[str, Tensor]:
    """The generator's state, uint8, under `prefix`."""
    return {prefix: generator.get_state().clone()}


def unpack_generator(prefix: str, generator: torch.Generator, tensors: Mapping[str, Tensor]) -> None:
    """Load what `pack_generator` wrote."""
    generator.set_state(tensors[prefix].cpu())


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
