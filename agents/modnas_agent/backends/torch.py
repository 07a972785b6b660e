"""PyTorch on the CPU: a program saved by `torch.export`, run operator by operator or through `torch.compile`.

The file holds a graph of ATen operators and tensors, no Python code. `compile` needs a C++ compiler on the
board; compiling happens in the first call, which belongs to the warm-up.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from modnas_agent.backends.base import Backend, Runner, UnavailableError
from modnas_agent.wire.fill import fill_inputs

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec

DISTRIBUTIONS = ("torch",)


def backend() -> Backend:
    """Import the runtime."""
    return Torch()


class Torch:
    """See `modnas_agent.backends.base.Backend`."""

    def __init__(self) -> None:
        # Compiled in the measuring process itself: a pool of helpers would outlive the compilation.
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        import torch
        import torch.export

        # Loading a program imports hundreds of modules the first time: here once, not in every measurement.
        with contextlib.suppress(ImportError):
            importlib.import_module("torch._export.serde.serialize")
        self._torch = torch

    def version(self) -> str:
        return str(self._torch.__version__)

    def providers(self) -> list[str]:
        return []

    def uses_device_memory(self, options: Mapping[str, Any]) -> bool:
        return False

    def load(self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]) -> Runner:
        if not hasattr(self._torch.export, "load"):
            raise UnavailableError(f"PyTorch {self.version()} is too old; 2.1 or newer loads programs")
        self._torch.set_num_threads(int(options.get("threads", 1)))
        program = self._torch.export.load(str(path))
        # Newer versions check every input's shape in every call unless told otherwise.
        guards = "check_guards" in inspect.signature(program.module).parameters
        module: Any = program.module(check_guards=False) if guards else program.module()
        if options.get("compile"):
            module = self._torch.compile(module)
        return TorchRunner(self._torch, module, fill_inputs(inputs))


class TorchRunner:
    """The module's call with tensors that are there, in inference mode."""

    def __init__(self, torch: Any, module: Any, feed: dict[str, np.ndarray[Any, Any]]) -> None:
        self._module = module
        self._arguments = [torch.from_numpy(array) for array in feed.values()]
        # The process measures one network: entering the mode anew in every call would be timed.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def run(self) -> object:
        return self._module(*self._arguments)

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        found = self._module(*self._arguments)
        return [tensor.numpy() for tensor in (found if isinstance(found, (tuple, list)) else [found])]

    def close(self) -> None:
        self._mode.__exit__(None, None, None)
        del self._module
