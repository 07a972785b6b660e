"""NVIDIA GPUs through NVML (`pip install nvidia-ml-py`).

The driver counts energy from Volta on; older GPUs tell their power. From Ampere on (except GA100) that power
is an average over one second (NVML reference, nvmlDeviceGetPowerUsage).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modnas_agent.sensors.base import COUNTER, POWER, PolledSensor, SensorError

DRIVER_FILE = "driver/nvidia/version"
AVERAGING_S = 1.0


class Nvml(PolledSensor):
    """One GPU: its energy counter, or its power where there is no counter.

    Args:
        index: of the GPU, in NVML's order (PCI bus).
        library: stands for the module `pynvml`.
    """

    period_s = 0.1

    def __init__(self, index: int = 0, library: Any = None) -> None:
        self._nvml = library if library is not None else _import()
        try:
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML does not give GPU {index}: {error}") from error
        try:
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)
            self.quantity = COUNTER
        except self._nvml.NVMLError:
            self.quantity, self.lag_s = POWER, AVERAGING_S
        self.name = f"nvml:{index}"
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
            raise SensorError(f"the GPU's {self.quantity} cannot be read: {error}") from error


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
