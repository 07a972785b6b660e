"""Baselines by name: the built-in ones and those other packages offer as `modnas.baselines` entry points."""

from __future__ import annotations

from typing import Protocol

from modnas.baselines.base import Problem
from modnas.core.registry import Registry
from modnas.spaces import Architecture


class Method(Protocol):
    """A baseline: evaluates exactly `budget` architectures and returns them in the order of evaluation.

    The same problem, budget (at least 1) and seed give the same architectures.

    Raises:
        BaselineError: the problem lacks what the method needs.
    """

    def __call__(self, problem: Problem, budget: int, seed: int) -> list[Architecture]: ...


METHODS: Registry[Method] = Registry(
    "baseline",
    "modnas.baselines",
    {
        "rs": "modnas.baselines.random_search:run",
        "rhpn": "modnas.baselines.random_hypernetwork:run",
        "help": "modnas.baselines.help:run",
        "nsga2": "modnas.baselines.nsga2:run",
        "re": "modnas.baselines.regularised_evolution:run",
        "ls": "modnas.baselines.local_search:run",
        "ofa": "modnas.baselines.once_for_all:run",
        "hat": "modnas.baselines.hat:run",
        "proxyless": "modnas.baselines.proxyless:run",
        "lemonade": "modnas.baselines.lemonade:run",
        "moasha": "modnas.baselines.syne_tune:run_moasha",
        "rsbo": "modnas.baselines.syne_tune:run_random_scalarisation",
        "ehvi": "modnas.baselines.syne_tune:run_ehvi",
    },
    expected="a function (problem, budget, seed) that returns what it evaluated",
)


def method_names() -> list[str]:
    """Names that `get_method` knows, the built-in ones in the order of the documentation."""
    return METHODS.names()


def get_method(name: str) -> Method:
    """The baseline called `name`. Raises UnknownNameError, which is a KeyError, and PluginError."""
    return METHODS.load(name)
