"""What TVM has to be told about a board's CPU to compile for it, from what the board says it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Target = dict[str, str | int | list[str]]
# What LLVM and the linker's name are made of: a profile may name neither a file nor a second option.
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.,+=:-]*", re.ASCII)
# Options of LLVM's own command line: some of them write files.
_REFUSED = "cl-opt"

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


def check_target(target: Target) -> Target:
    """The target, if nothing in it is more than a name. Raises ValueError."""
    example = "{kind: llvm, mtriple: aarch64-linux-gnu, mcpu: cortex-a72}"
    for key, value in target.items():
        if _KEY.fullmatch(key) is None or key == _REFUSED:
            raise ValueError(f"{key!r} is no option of a target; expected e.g. {example}")
        words = value if isinstance(value, list) else [str(value)]
        named = all(_VALUE.fullmatch(word) for word in words)
        if not named or (isinstance(value, str) and value.startswith("-")):
            raise ValueError(f"{value!r} is no {key} of a target; expected e.g. {example}")
    return target


def tvm_target(inventory: Mapping[str, Any]) -> Target | None:
    """TVM's target for a board with this inventory; None for a machine that is not known here.

    A CPU with several kinds of cores, or with one that is not known, is compiled for as any of its family.
    """
    triple = _TRIPLES.get(str(inventory.get("machine")))
    if triple is None:
        return None
    core = _ARM_CORES.get(str((inventory.get("cpu") or {}).get("model")))
    return {"kind": "llvm", "mtriple": triple, **({"mcpu": core} if core else {})}
