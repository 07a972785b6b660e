"""What every backend needs on a board, and whether `agent install` can bring it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from harness.core.errors import UsageError
from harness.export.tvm.compiler import require_tvm

_CPP = {"libstdc++.so.6": "libstdc++6"}


@dataclass(frozen=True)
class WheelFile:
    """One file out of a package that is too large for a board."""

    requirement: str
    path: str


@dataclass(frozen=True)
class Runtime:
    """What a backend needs on a board.

    `requirements`: packages of the index, which bring what they depend on. `files`: put beside them.
    `libraries`: system libraries that must be there, with Debian's packages of them. `needed_mb`: room on the
    board for all of it, unpacked, and for the file it comes in.
    """

    backend: str
    name: str
    requirements: tuple[str, ...]
    needed_mb: int
    files: tuple[WheelFile, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=lambda: dict(_CPP))

    @property
    def identity(self) -> dict[str, object]:
        """What makes an installation another one, JSON-able."""
        files = [[file.requirement, file.path] for file in self.files]
        return {"requirements": list(self.requirements), "files": files}


def runtime_of(backend: str) -> Runtime:
    """What to install for a backend.

    Raises:
        UsageError: it is not installed from here.
        CompilerMissingError: this machine has no TVM, whose version the board's must be.
    """
    if backend == "onnxruntime":
        libraries = {**_CPP, "libgomp.so.1": "libgomp1"}
        return Runtime(backend, "ONNX Runtime", ("onnxruntime>=1.17", "numpy>=1.21"), 200, (), libraries)
    if backend == "tvm":
        require_tvm()
        library = WheelFile(f"apache-tvm=={version('apache-tvm')}", "tvm/lib/libtvm_runtime.so")
        requirements = (f"apache-tvm-ffi=={version('apache-tvm-ffi')}", "numpy>=1.21")
        return Runtime(backend, "TVM's runtime", requirements, 150, (library,))
    raise UsageError(
        f"the runtime of backend {backend} is too large to be brought to a board: install it there and name "
        "that interpreter as `python` in the profile; agent install brings onnxruntime and tvm"
    )
