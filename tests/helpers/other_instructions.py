"""pytest with other instructions of this processor than its best: sums end in other bits, as on another.

Arguments are pytest's. Another processor's random draws may differ too: see CONTRIBUTING.md for other seeds.
"""

from __future__ import annotations

import os
import platform
import sys

import torch

_X86 = ("x86_64", "AMD64")


def other_instructions(capability: str, machine: str) -> dict[str, str]:
    """Settings of the libraries that compute, for a machine on which PyTorch has chosen `capability`.

    Where there is nothing below the best, as with NEON, two threads divide the sums differently.
    """
    if machine in _X86 and capability.startswith("AVX512"):
        return {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
    if machine in _X86:
        return {
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "OPENBLAS_CORETYPE": "Nehalem",
        }
    if capability != "DEFAULT":
        return {"ATEN_CPU_CAPABILITY": "default"}
    return {"OMP_NUM_THREADS": "2"}


def main() -> None:
    settings = other_instructions(torch.backends.cpu.get_cpu_capability(), platform.machine())
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    print(*(f"{name}={value}" for name, value in settings.items()), *command, flush=True)
    os.execve(sys.executable, command, {**os.environ, **settings})


if __name__ == "__main__":
    main()
