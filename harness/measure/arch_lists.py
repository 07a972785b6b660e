"""Spaces by name, and what `--archs` may name: a number, the references, all, or a file of strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.core.errors import UsageError
from modnas.spaces import Architecture, ArchitectureError, Space, get_space, space_names


def find_space(name: str, **size: Any) -> Space:
    """The space with networks of a size. Raises UsageError for a name or a size that there is not."""
    try:
        return get_space(name, **size)
    except KeyError as error:
        raise UsageError(f"no space {name!r}; known: {', '.join(space_names())}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"space {name}: {error}") from error


def select_architectures(text: str, space: Space, seed: int = 0) -> list[Architecture]:
    """The architectures for `N`, `reference`, `all` or the path of a file with one string a line.

    Raises UsageError naming the file and line of the first bad string.
    """
    if text == "reference":
        return list(space.references)
    if text == "all":
        everything = getattr(space, "all", None)
        if everything is None:
            raise UsageError(f"--archs all: space {space.name} is too large to list; give a number")
        return list(everything())
    if text.isascii() and text.isdigit():
        return _sampled(int(text), space, seed)
    return _from_file(Path(text), space)


def _sampled(count: int, space: Space, seed: int) -> list[Architecture]:
    if count < 1:
        raise UsageError("--archs needs at least 1 architecture")
    try:
        return space.sample(count, torch.Generator().manual_seed(seed))
    except ValueError as error:
        raise UsageError(f"--archs {count}: {error}") from error


def _from_file(path: Path, space: Space) -> list[Architecture]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--archs {path}: not a number, `reference`, `all` or a readable file ({error})"
        ) from error
    found: list[Architecture] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(space.parse(line))
        except ArchitectureError as error:
            raise UsageError(f"--archs {path}, line {number}: {error}") from error
    if not found:
        raise UsageError(f"--archs {path}: the file names no architecture")
    return found
