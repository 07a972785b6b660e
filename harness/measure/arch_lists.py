"""Spaces by name, and what `--archs` may name: a number, the references, all, or a file of strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.core.errors import UsageError
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture, ArchitectureError, Space, get_space, space_names


def find_space(name: str, **size: Any) -> Space:
    """The space with networks of a size. Raises UsageError for a name or a size that there is not."""
    try:
        return get_space(name, **size)
    except KeyError as error:
        raise UsageError(f"no space {name!r}; known: {', '.join(space_names())}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"space {name}: {error}") from error


def select_architectures(text: str, source: ArchitectureSource, seed: int = 0) -> list[Architecture]:
    """The architectures for `N`, `reference`, `all` or the path of a file with one string a line.

    Raises UsageError naming the file and line of the first bad string.
    """
    if text == "reference":
        if not isinstance(source, Space):
            raise UsageError(f"--archs reference: {source.name} is no search space; take all or a number")
        return list(source.references)
    if text == "all":
        if source.architectures is None:
            raise UsageError(f"--archs all: space {source.name} is too large to list; give a number")
        return list(source.architectures)
    if text.isascii() and text.isdigit():
        return _sampled(int(text), source, seed)
    return _from_file(Path(text), source)


def _sampled(count: int, source: ArchitectureSource, seed: int) -> list[Architecture]:
    if count < 1:
        raise UsageError("--archs needs at least 1 architecture")
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(source, Space):
        known = source.architectures or ()
        if count > len(known):
            raise UsageError(f"--archs {count}: {source.name} has only {len(known)} architectures")
        return [known[n] for n in torch.randperm(len(known), generator=generator)[:count].tolist()]
    try:
        return source.sample(count, generator)
    except ValueError as error:
        raise UsageError(f"--archs {count}: {error}") from error


def _from_file(path: Path, source: ArchitectureSource) -> list[Architecture]:
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
            found.append(source.parse(line))
        except ArchitectureError as error:
            raise UsageError(f"--archs {path}, line {number}: {error}") from error
    if not found:
        raise UsageError(f"--archs {path}: the file names no architecture")
    return found
