"""Runtimes that can be measured. A new one is a module beside this one and a line in `MODULES`."""

from __future__ import annotations

import importlib

from modnas_agent.backends.base import Backend, UnavailableError

#: Backend name -> module with a `backend()` function. Modules import their runtime when it is called.
MODULES = {
    "onnxruntime": "modnas_agent.backends.onnxruntime",
    "synthetic": "modnas_agent.backends.synthetic",
    "torch": "modnas_agent.backends.torch",
    "tvm": "modnas_agent.backends.tvm",
}


def load_backend(name: str) -> Backend:
    """The backend `name` with its runtime imported; raises `UnavailableError`."""
    if name not in MODULES:
        raise UnavailableError(f"no backend {name!r}; there are {', '.join(sorted(MODULES))}")
    try:
        made = importlib.import_module(MODULES[name]).backend()
    except ImportError as error:
        raise UnavailableError(f"{name} cannot be imported: {error}") from error
    assert isinstance(made, Backend)
    return made
