"""Spaces by name: the built-in ones and those other packages offer as `modnas.spaces` entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from modnas.core.preset import DEFAULT_PRESETS, Preset
from modnas.core.registry import PluginError, Registry
from modnas.core.space import Space

SPACES: Registry[Callable[..., Space]] = Registry(
    "space",
    "modnas.spaces",
    {
        "mobilenetv3": "modnas.spaces.mobilenetv3.space:MobileNetV3",
        "nasbench201": "modnas.spaces.nasbench201.space:NasBench201",
        "transformer": "modnas.spaces.transformer.space:Transformer",
    },
    expected="a class or function that makes a Space",
)


def space_names() -> list[str]:
    """Names that `get_space` knows, sorted."""
    return sorted(SPACES.names())


def space_sizes(name: str) -> list[str] | None:
    """What the space called `name` takes to size its networks by; None where it takes whatever it is given.

    Raises UnknownNameError, PluginError.
    """
    taken = inspect.signature(SPACES.load(name)).parameters
    return None if any(one.kind is one.VAR_KEYWORD for one in taken.values()) else list(taken)


def get_space(name: str, **config: Any) -> Space:
    """The space called `name`, its networks sized by `config` (e.g. channels=16, cells=5).

    Raises:
        UnknownNameError: no such space; a KeyError too.
        PluginError: another package's, which cannot be used.
        TypeError, ValueError: a setting the space does not have or cannot take.
    """
    space = SPACES.load(name)(**config)
    if not isinstance(space, Space):
        raise PluginError(
            f"space {name!r} of package {SPACES.origin(name)} makes no modnas Space; ask its authors"
        )
    return space


def space_presets(name: str) -> Mapping[str, Preset]:
    """The presets that the space called `name` brings, by their names. Raises KeyError: no such space."""
    presets: Mapping[str, Preset] = getattr(SPACES.load(name), "presets", DEFAULT_PRESETS)
    return presets
