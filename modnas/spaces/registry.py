"""Spaces by name: the built-in ones and those other packages offer as `modnas.spaces` entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from modnas.core.preset import DEFAULT_PRESETS, Preset
from modnas.core.space import Space

_BUILT_IN = {
    "mobilenetv3": "modnas.spaces.mobilenetv3.space:MobileNetV3",
    "nasbench201": "modnas.spaces.nasbench201.space:NasBench201",
    "transformer": "modnas.spaces.transformer.space:Transformer",
}


def _targets() -> dict[str, str]:
    plugins = {entry.name: entry.value for entry in entry_points(group="modnas.spaces")}
    return {**plugins, **_BUILT_IN}


def space_names() -> list[str]:
    """Names that `get_space` knows, sorted."""
    return sorted(_targets())


def get_space(name: str, **config: Any) -> Space:
    """The space called `name`, its networks sized by `config` (e.g. channels=16, cells=5).

    Raises:
        KeyError: no such space.
        TypeError, ValueError: a setting the space does not have or cannot take.
    """
    space = _maker(name)(**config)
    if not isinstance(space, Space):
        raise TypeError(f"{name} is not a modnas Space")
    return space


def space_presets(name: str) -> Mapping[str, Preset]:
    """The presets that the space called `name` brings, by their names. Raises KeyError: no such space."""
    presets: Mapping[str, Preset] = getattr(_maker(name), "presets", DEFAULT_PRESETS)
    return presets


def _maker(name: str) -> Callable[..., Any]:
    """What makes the space: its class, or a function. Raises KeyError."""
    module, _, attribute = _targets()[name].partition(":")
    maker: Callable[..., Any] = getattr(import_module(module), attribute)
    return maker
