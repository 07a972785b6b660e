"""What is wrong with a profile, told by field, value and an example that works."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.core.foreign import clean_text

# Of fields that have no default.
_EXAMPLES: Mapping[str, Any] = {
    "tdp_w": 15.0,
    "transport.ssh.host": "raspberrypi.local",
    "transport.ssh.port": 22,
    "transport.ssh.user": "pi",
    "transport.ssh.identity_file": "~/.ssh/id_ed25519",
    "transport.ssh.known_hosts": "~/.ssh/known_hosts",
    "transport.ssh.jump": "pi@gateway:22",
    "transport.ssh.python": "python3.11",
    "power_sensor.max_w": 20.0,
    "power_sensor.index": 0,
    "power_sensor.current_unit": "uA",
    "power_sensor.clock_offset_s": 0.0,
    "options.quantize": "int8",
}
_SHOWN = 60


def describe_problem(error: ValidationError, content: Mapping[Any, Any], known: Mapping[str, Any]) -> str:
    """The first field that is wrong, its value, what is wrong with it and how it may be written.

    Args:
        content: what the file says.
        known: every field with its default, those of fields in fields.
    """
    first, path = _first(error, content, known)
    where = ".".join(map(str, path)) or "profile"
    # What a check of ours says stands alone, it has its own example; pydantic would call it a "Value error".
    if ours := first.get("ctx", {}).get("error"):
        return f"field {where}: {ours}"
    if first["type"] == "extra_forbidden":
        return f"field {where}: no such field; {_instead(path, known)}"
    if first["type"] == "missing":
        return f"field {where}: it is missing; write it as in {example(path, known)}"
    value = clean_text(repr(first["input"]), _SHOWN)
    return f"field {where}: {first['msg']}, not {value}; write it as in {example(path, known)}"


def _first(
    error: ValidationError, content: Mapping[Any, Any], known: Mapping[str, Any]
) -> tuple[ErrorDetails, list[str | int]]:
    """The first field's error and place; of alternatives that did not fit, the one that got furthest."""
    found = [(one, _path(one["loc"], content, known)) for one in error.errors()]
    field = found[0][1]
    return max((one for one in found if one[1][: len(field)] == field), key=lambda one: len(one[1]))


def example(path: list[str | int], known: Mapping[str, Any]) -> str:
    """A line of YAML that gives a field a value it may have."""
    names = [name for name in path if isinstance(name, str)]
    value: Any = known
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    written: Any = _filled(".".join(names), value)
    for name in reversed(names):
        written = {name: written}
    text: str = yaml.safe_dump(written, default_flow_style=True, width=10**6, sort_keys=False)
    return text.strip()[1:-1]


def _filled(where: str, value: Any) -> Any:
    """A value for a field: its example, its default, or its first field with either."""
    if where in _EXAMPLES:
        return _EXAMPLES[where]
    if not isinstance(value, Mapping):
        return value
    filled = ((name, _filled(f"{where}.{name}", inner)) for name, inner in value.items())
    return next(({name: inner} for name, inner in filled if inner is not None), {})


def _instead(path: list[str | int], known: Mapping[str, Any]) -> str:
    """The field that an unknown one was meant to be, or all that there are."""
    *parents, name = path
    fields: Any = known
    for parent in parents:
        fields = fields.get(parent, {}) if isinstance(fields, Mapping) else {}
    near = difflib.get_close_matches(str(name), [*fields], n=1)
    if near:
        return f"write {near[0]}, as in {example([*parents, near[0]], known)}"
    return f"known: {', '.join(fields)}"


def _path(location: tuple[int | str, ...], content: Any, known: Any) -> list[str | int]:
    """Where an error is in a file: pydantic's location without the names of its alternatives."""
    path: list[str | int] = []
    for part in location:
        is_field = isinstance(known, Mapping) and part in known
        is_there = isinstance(content, Mapping) and (part in content or part == location[-1])
        is_entry = isinstance(content, list) and isinstance(part, int)
        if is_field or is_there or is_entry:
            path.append(part)
            known = known[part] if is_field else None
            content = _inner(content, part)
    return path


def _inner(content: Any, part: str | int) -> Any:
    """What a file says there, if anything."""
    if isinstance(content, list) and isinstance(part, int):
        return content[part]
    return content.get(part) if isinstance(content, Mapping) else None
