"""TVM: a library that the host compiled, run by TVM's runtime without its compiler.

Needed here are `apache-tvm-ffi` and `libtvm_runtime.so`, 3 MB each. The latter is looked for where
`MODNAS_TVM_RUNTIME` says, then in every folder Python imports from, as `libtvm_runtime.so` and where the
package `apache-tvm` has it; that package, 300 MB, is never imported.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

from modnas_agent.backends.base import Backend, Runner, UnavailableError
from modnas_agent.wire.fill import fill_inputs

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec

DISTRIBUTIONS = ("apache-tvm", "apache-tvm-ffi")
LIBRARY = "libtvm_runtime.so"
#: DLPack's number for the CPU, a device's index, and the VM's allocator that keeps freed memory.
CPU, FIRST, POOLED_ALLOCATOR = 1, 0, 2
#: Bytes; compiled code reads whole vectors from addresses it takes to be multiples of this, and crashes else.
ALIGNMENT = 64


def backend() -> Backend:
    """Import the runtime."""
    return Tvm()


class Tvm:
    """See `modnas_agent.backends.base.Backend`."""

    def __init__(self) -> None:
        os.environ["TVM_FFI_DISABLE_TORCH_C_DLPACK"] = "1"  # else it compiles an extension for PyTorch
        if "torch" not in sys.modules:
            # tvm_ffi imports PyTorch wherever it is installed: seconds and 200 MB for nothing.
            sys.modules["torch"] = None  # type: ignore[assignment]
        import tvm_ffi

        self._ffi = tvm_ffi
        self._runtime = ctypes.CDLL(str(find_runtime()), mode=ctypes.RTLD_GLOBAL)

    def version(self) -> str:
        return f"ffi {self._ffi.__version__}"

    def providers(self) -> list[str]:
        return []

    def uses_device_memory(self, options: Mapping[str, Any]) -> bool:
        return False

    def load(self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]) -> Runner:
        # The runtime reads these when it starts its threads, at the first parallel loop. It would bind them
        # to cores of its own choice.
        os.environ["TVM_NUM_THREADS"] = str(int(options.get("threads", 1)))
        os.environ["TVM_BIND_THREADS"] = "0"
        library = self._ffi.load_module(str(path))
        arguments = [self._ffi.from_dlpack(aligned(array)) for array in fill_inputs(inputs).values()]
        if options.get("entry") is not None:
            return KernelRunner(library.get_function(options["entry"]), arguments)
        machine = library.get_function("vm_load_executable")()
        machine.get_function("vm_initialization")(CPU, FIRST, POOLED_ALLOCATOR)
        return NetworkRunner(machine, arguments)


class NetworkRunner:
    """A whole network."""

    def __init__(self, machine: Any, arguments: list[Any]) -> None:
        self._machine = machine
        self._main = machine.get_function("main")
        self._arguments = arguments

    def run(self) -> object:
        return self._main(*self._arguments)

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        import numpy as np

        found = self._main(*self._arguments)
        return [np.from_dlpack(tensor) for tensor in ([found] if hasattr(found, "__dlpack__") else found)]

    def close(self) -> None:
        del self._main, self._machine


class KernelRunner:
    """One operator, while a compiler tunes it: every argument is an input, results are written into the last.

    Its values are not looked at: made-up inputs may have no finite result.
    """

    def __init__(self, kernel: Any, arguments: list[Any]) -> None:
        self._kernel = kernel
        self._arguments = arguments

    def run(self) -> object:
        return self._kernel(*self._arguments)

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        return []

    def close(self) -> None:
        del self._kernel


def aligned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy where TVM's own allocator could have put it: NumPy aligns to 16 bytes only."""
    import numpy as np

    space = np.empty(array.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -space.ctypes.data % ALIGNMENT
    made: np.ndarray[Any, Any] = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def find_runtime() -> Path:
    """Where TVM's runtime library is; raises `UnavailableError`."""
    for path in _candidates():
        if path.is_file():
            return path
    raise UnavailableError(
        f"{LIBRARY} was not found; install apache-tvm here, or put the library beside apache-tvm-ffi "
        "or where MODNAS_TVM_RUNTIME says"
    )


def _candidates() -> Iterator[Path]:
    named = os.environ.get("MODNAS_TVM_RUNTIME")
    if named:
        yield Path(named)
        return
    for folder in map(Path, sys.path):
        yield folder / LIBRARY
        yield folder / "tvm" / "lib" / LIBRARY
