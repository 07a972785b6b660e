"""Runtimes that can be measured: a module here for each, with a function `backend()`.

A module imports its runtime when that function is called; `DISTRIBUTIONS` names the packages that have it, in
order of preference. A host may put a module of its own beside the others into the agent's archive.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from modnas_agent.backends.base import Backend, UnavailableError
from modnas_agent.foreign_words import understood

#: Modules here that are no runtime.
_OTHERS = ("base",)


def backend_names() -> list[str]:
    """Names that `load_backend` knows, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _OTHERS)


def load_backend(name: str) -> Backend:
    """The backend `name` with its runtime imported; raises `UnavailableError`."""
    if name not in backend_names():
        raise UnavailableError(f"no backend {name!r}; there are {', '.join(backend_names())}")
    try:
        made = _module(name).backend()
    except ImportError as error:
        raise UnavailableError(f"{name} cannot be imported: {understood(str(error))}") from error
    assert isinstance(made, Backend)
    return made


def distributions() -> dict[str, tuple[str, ...]]:
    """Packages that have each backend's runtime, by name of the backend. No runtime is imported."""
    found = {name: tuple(getattr(_module(name), "DISTRIBUTIONS", ())) for name in backend_names()}
    return {name: packages for name, packages in found.items() if packages}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
