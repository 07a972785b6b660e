"""What TVM has to be told about a board's CPU to compile for it, from what the board says it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRIPLES = {
    "aarch64": "aarch64-linux-gnu",
    "armv7l": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
    "x86_64": "x86_64-linux-gnu",
}
# Arm's part numbers (MIDR_EL1, implementer 0x41) of cores on boards, by LLVM's names for them.
_ARM_CORES = {
    "0x41:0xd03": "cortex-a53",
    "0x41:0xd04": "cortex-a35",
    "0x41:0xd05": "cortex-a55",
    "0x41:0xd07": "cortex-a57",
    "0x41:0xd08": "cortex-a72",
    "0x41:0xd09": "cortex-a73",
    "0x41:0xd0a": "cortex-a75",
    "0x41:0xd0b": "cortex-a76",
    "0x41:0xd0c": "neoverse-n1",
    "0x41:0xd41": "cortex-a78",
    "0x41:0xd42": "cortex-a78ae",
}


def tvm_target(inventory: Mapping[str, Any]) -> dict[str, str | int | list[str]] | None:
    """TVM's target for a board with this inventory; None for a machine that is not known here.

    A CPU with several kinds of cores, or with one that is not known, is compiled for as any of its family.
    """
    triple = _TRIPLES.get(str(inventory.get("machine")))
    if triple is None:
        return None
    core = _ARM_CORES.get(str((inventory.get("cpu") or {}).get("model")))
    return {"kind": "llvm", "mtriple": triple, **({"mcpu": core} if core else {})}
