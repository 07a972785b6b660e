"""Which GPU is CUDA's first: `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER` against NVML's own order.

https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html: the variable
lists indices, or UUIDs that may be cut short; what follows an invalid entry is not visible. Indices count in
CUDA's order, the fastest first, unless `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`, which is NVML's order.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from modnas_agent.energy.sensors.base import SensorError

VARIABLE = "CUDA_VISIBLE_DEVICES"


class Gpu(NamedTuple):
    """A GPU by its number in NVML's order. `model` is None where the library does not tell it."""

    number: int
    uuid: str
    model: str | None


def cuda_gpu(index: int, gpus: Sequence[Gpu], environment: Mapping[str, str]) -> Gpu:
    """The GPU that a program with this environment calls `cuda:index`.

    Raises `SensorError` when there is none, or when several could be meant.
    """
    listed = environment.get(VARIABLE)
    if listed is None:
        if not 0 <= index < len(gpus):
            raise SensorError(f"there is no GPU {index}: NVML knows {len(gpus)}")
        return _by_position(index, gpus, environment)
    visible = _visible(listed, gpus, environment)
    if not 0 <= index < len(visible):
        raise SensorError(
            f"CUDA sees {len(visible)} of {len(gpus)} GPUs ({VARIABLE}={listed}) and no GPU {index}"
        )
    return visible[index]


def _visible(listed: str, gpus: Sequence[Gpu], environment: Mapping[str, str]) -> list[Gpu]:
    """The GPUs in CUDA's new order, up to the first entry that names none."""
    visible: list[Gpu] = []
    for entry in map(str.strip, listed.split(",")):
        if entry.upper().startswith("MIG"):
            raise SensorError(
                f"{VARIABLE} names a part of a GPU ({entry}), and NVML tells the energy of whole ones"
            )
        if entry.upper().startswith("GPU-"):
            named = [gpu for gpu in gpus if gpu.uuid.lower().startswith(entry.lower())]
            if len(named) != 1:
                break
            visible.append(named[0])
        elif entry.isascii() and entry.isdigit() and int(entry) < len(gpus):
            visible.append(_by_position(int(entry), gpus, environment))
        else:
            break
    if len(set(visible)) < len(visible):
        raise SensorError(f"{VARIABLE}={listed} names a GPU twice: CUDA sees none then")
    return visible


def _by_position(position: int, gpus: Sequence[Gpu], environment: Mapping[str, str]) -> Gpu:
    """Equal GPUs have no fastest: CUDA then lists them as NVML does."""
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    models = {gpu.model for gpu in gpus if gpu.model is not None}
    if not by_bus and len(models) > 1:
        raise SensorError(
            f"CUDA counts these GPUs by their speed ({', '.join(sorted(models))}), which NVML does not tell: "
            f"set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name the GPU in {VARIABLE} by its UUID"
        )
    return gpus[position]
