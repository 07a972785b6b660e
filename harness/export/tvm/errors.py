"""What can go wrong when a network is compiled."""

from __future__ import annotations

from harness.core.errors import ModnasHwError


class CompileError(ModnasHwError):
    """A network could not be compiled; `log` is what the compiler printed."""

    code = "compile"

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class CompilerKilledError(CompileError):
    """The compiling process was ended by somebody else: the kernel for want of memory, or a person."""

    code = "compiler-killed"


class CompilerMissingError(ModnasHwError):
    """TVM is not installed on this machine."""

    code = "compiler-missing"
