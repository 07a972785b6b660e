"""The runtimes that a profile may name, and what it may say of them.

`harness.backends` has the rest: what makes a backend's files, and what a board must have for it. All of it
is one class, of which a profile needs only what is here.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, create_model

from harness.core.strict import Strict
from modnas.core.registry import Registry


class BackendOptions(Strict):
    """How a runtime is set up on the device; part of what identifies a measurement.

    `affinity`: CPUs to run on; `auto` takes as many as there are threads, from the highest-numbered down;
    null leaves the choice to the system.
    """

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    affinity: Literal["auto"] | list[Annotated[int, Field(ge=0)]] | None = "auto"


class ProfiledBackend(Protocol):
    """What a profile asks of its backend.

    `options`: the options that a profile may give it. `agent_options`: names of those that the agent is told;
    the others go into the file that is measured. `times_operators`: whether it can say where time goes.
    """

    name: ClassVar[str]
    options: ClassVar[type[BackendOptions]]
    agent_options: ClassVar[tuple[str, ...]]
    times_operators: ClassVar[bool]


BACKENDS: Registry[type[ProfiledBackend]] = Registry(
    "backend",
    "modnas_hw.backends",
    {
        "onnxruntime": "harness.backends.onnxruntime:OnnxRuntime",
        "torch": "harness.backends.torch:Torch",
        "tvm": "harness.backends.tvm:Tvm",
    },
    accepts=lambda found: isinstance(found, type) and hasattr(found, "agent_options"),
    expected="a class derived from harness.backends.Backend",
)
DEFAULT = "onnxruntime"


def options_model(backend: str) -> type[BackendOptions]:
    """The options that a profile with this backend may have: its own, and those of all built-in ones.

    So a profile can be measured with several runtimes and say how for each.

    Raises UnknownNameError, PluginError.
    """
    own = BACKENDS.load(backend).options
    return _together(tuple(BACKENDS.load(name).options for name in BACKENDS.built_in), own)


@cache
def _together(shared: tuple[type[BackendOptions], ...], own: type[BackendOptions]) -> type[BackendOptions]:
    """One model with the fields of all, in this order; the own ones win."""
    models = dict.fromkeys((own, *reversed(shared)))
    # One that others are derived from is part of them.
    derived = {base for model in models for base in model.__mro__[1:]}
    bases = tuple(model for model in models if model not in derived)
    made: Any = create_model("BackendOptions", __base__=bases)
    made.__doc__ = BackendOptions.__doc__
    return made  # type: ignore[no-any-return]
