"""Baselines by name."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from modnas.baselines.base import Problem
from modnas.spaces import Architecture

_METHODS = {
    "rs": "modnas.baselines.random_search:run",
    "rhpn": "modnas.baselines.random_hypernetwork:run",
    "help": "modnas.baselines.help:run",
    "nsga2": "modnas.baselines.nsga2:run",
    "re": "modnas.baselines.regularised_evolution:run",
    "ls": "modnas.baselines.local_search:run",
    "moasha": "modnas.baselines.syne_tune:run_moasha",
    "rsbo": "modnas.baselines.syne_tune:run_random_scalarisation",
    "ehvi": "modnas.baselines.syne_tune:run_ehvi",
}


class Method(Protocol):
    """A baseline: evaluates exactly `budget` architectures and returns them in the order of evaluation.

    The same problem, budget (at least 1) and seed give the same architectures.

    Raises:
        BaselineError: the problem lacks what the method needs.
    """

    def __call__(self, problem: Problem, budget: int, seed: int) -> list[Architecture]: ...


def method_names() -> list[str]:
    """Names that `get_method` knows, in the order of the documentation."""
    return list(_METHODS)


def get_method(name: str) -> Method:
    """The baseline called `name`. Raises KeyError."""
    module, _, attribute = _METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute)
    return method
