"""NVIDIA GPUs through NVML (`pip install nvidia-ml-py`).

The driver counts energy from Volta on; older GPUs tell their power. From Ampere on (except GA100) that power
is an average over one second (NVML reference, nvmlDeviceGetPowerUsage).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping

from modnas_agent.board.conditions import PROC
from modnas_agent.energy.sensors.base import (
    COUNTER,
    POWER,
    Bounds,
    LostSensorError,
    PolledSensor,
    SensorError,
)
from modnas_agent.energy.sensors.cuda_order import VARIABLE, Gpu, cuda_gpu

DRIVER_FILE = "driver/nvidia/version"
AVERAGING_S = 1.0
#: A GPU goes beyond its power limit for milliseconds, and a reading may be of such a moment.
LIMIT_FACTOR = 2.0
#: For a driver that tells no limit: twice what the largest accelerators may take.
FALLBACK = Bounds(3e3, "the GPU tells no power limit")
MAX_GPUS = 64


class Nvml(PolledSensor):
    """One GPU: its energy counter, or its power where there is no counter.

    Args:
        index: of the GPU, as CUDA counts those that `CUDA_VISIBLE_DEVICES` lets it see.
        library: stands for the module `pynvml`.
        environment: stands for that of this process, which its workers have too.
    """

    period_s = 0.1

    def __init__(
        self, index: int = 0, library: Any = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._nvml = library if library is not None else _import()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML does not give GPU {index}: {error}") from error
        environment = os.environ if environment is None else environment
        self._gpu, gpu = self._choose(index, environment)
        self.name = f"nvml:{gpu.number}"
        if (self._told("nvmlDeviceGetMigMode", self._gpu) or (0,))[0]:
            raise SensorError(
                f"GPU {gpu.number} is divided (MIG): NVML tells the energy of the whole GPU only"
            )
        self.bounds = self._bounds()
        try:
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)
            self.quantity = COUNTER
        except self._nvml.NVMLError:
            self.quantity, self.lag_s = POWER, AVERAGING_S
        self.read()

    @property
    def poll_s(self) -> float:
        """A counter is read oftener than it moves, which tells when it moved."""
        return self.period_s / 5.0 if self.quantity == COUNTER else self.period_s

    def read(self) -> float:
        ask = (
            self._nvml.nvmlDeviceGetTotalEnergyConsumption
            if self.quantity == COUNTER
            else self._nvml.nvmlDeviceGetPowerUsage
        )
        try:
            return float(ask(self._gpu)) / 1000.0
        except self._nvml.NVMLError as error:
            raise LostSensorError(f"the GPU's {self.quantity} cannot be read: {error}") from error

    def _choose(self, index: int, environment: Mapping[str, str]) -> tuple[Any, Gpu]:
        """Handle and description of CUDA's GPU `index`."""
        handles: list[Any] = []
        count = self._told("nvmlDeviceGetCount")
        try:
            while len(handles) < (MAX_GPUS if count is None else max(count, index + 1)):
                handles.append(self._nvml.nvmlDeviceGetHandleByIndex(len(handles)))
        except self._nvml.NVMLError as error:
            if not handles or (VARIABLE not in environment and index >= len(handles)):
                raise SensorError(f"NVML does not give GPU {index}: {error}") from error
        gpus = [
            Gpu(
                number, self._text("nvmlDeviceGetUUID", handle) or "", self._text("nvmlDeviceGetName", handle)
            )
            for number, handle in enumerate(handles)
        ]
        chosen = cuda_gpu(index, gpus, environment)
        return handles[chosen.number], chosen

    def _bounds(self) -> Bounds:
        """By the highest power limit that can be set, or the one that is."""
        highest = (self._told("nvmlDeviceGetPowerManagementLimitConstraints", self._gpu) or (0, 0))[1]
        limit_mw = max(highest, self._told("nvmlDeviceGetEnforcedPowerLimit", self._gpu) or 0)
        if limit_mw <= 0:
            return FALLBACK
        return Bounds(LIMIT_FACTOR * limit_mw / 1e3, f"{LIMIT_FACTOR:g} times the GPU's power limit")

    def _told(self, function: str, *gpu: Any) -> Any:
        """What the driver answers; None where it, or an old library, does not know the question."""
        try:
            return getattr(self._nvml, function)(*gpu)
        except (self._nvml.NVMLError, AttributeError):
            return None

    def _text(self, function: str, gpu: Any) -> str | None:
        """The same of a text; older libraries answer with bytes."""
        told = self._told(function, gpu)
        return told.decode("ascii", "replace") if isinstance(told, bytes) else told


def sensor(_sysfs_root: Path, index: int = 0) -> Nvml:
    """See `find`."""
    return find(PROC, index)


def find(proc_root: Path, index: int = 0) -> Nvml:
    """The GPU's sensor; looks for the driver first, so that nothing is imported without one."""
    if not (proc_root / DRIVER_FILE).exists():
        raise SensorError("there is no NVIDIA driver")
    return Nvml(index)


def _import() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise SensorError("NVML needs the package nvidia-ml-py: pip install nvidia-ml-py") from error
    return pynvml
