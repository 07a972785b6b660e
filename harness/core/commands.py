"""Commands as they are advised: complete, so that they can be copied."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any

from modnas.core.registry import PluginError, UnknownNameError
from modnas.spaces import Space, get_space


def advised(command: str, space: Space, **options: str) -> str:
    """`modnas-hw COMMAND` with these options and those that make the space at its size.

    Where no options make it, as with a space of one's own that is given in Python, it names the space alone.
    """
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    return shlex.join(["modnas-hw", *command.split(), *given, *space_options(space)])


def fetching(benchmark: str, data: Path) -> str:
    """The command that puts a benchmark's published tables into a folder."""
    return shlex.join(["modnas-hw", "dataset", "fetch", benchmark, "--to", str(data)])


def space_options(space: Space) -> list[str]:
    """`--space` and `--set` for a space of this size; without `--set` where none makes it."""
    named = ["--space", space.name]
    config = {name: value for name in _sizes(space) if (value := _settable(space, name)) is not None}
    try:
        default, made = get_space(space.name), get_space(space.name, **config)
    except (UnknownNameError, PluginError, TypeError, ValueError):
        return named
    if made.variant != space.variant:
        return named
    changed = {name: value for name, value in config.items() if value != _settable(default, name)}
    return [*named, *(word for name, value in changed.items() for word in ("--set", _setting(name, value)))]


def _sizes(space: Space) -> list[str]:
    """What the space's class takes to be made."""
    return [name for name in inspect.signature(type(space)).parameters if hasattr(space, name)]


def _settable(space: Space, name: str) -> Any:
    """A size as `--set` can say it; None for any other. One number stands for sizes that fall from it."""
    value = getattr(space, name)
    if name == "input_shape":
        return tuple(value) if len(value) == 3 else None
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) else None


def _setting(name: str, value: Any) -> str:
    return f"input={'x'.join(map(str, value))}" if name == "input_shape" else f"{name}={value}"
