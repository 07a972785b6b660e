"""Spaces by name, and what `--archs` may name: a number, the references, all, or a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness.core.errors import UsageError
from harness.core.foreign import clean_text
from harness.measure.arch_files import Listed, read_listed
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture, ArchitectureError, Space, get_space, space_names
from modnas.spaces.registry import space_sizes

# Lists in lists that are looked into.
MAX_DEPTH = 2


def find_space(space: str, /, **size: Any) -> Space:
    """The space with networks of a size. Raises UsageError for a name or a size that there is not."""
    try:
        known = space_sizes(space)
        if known is not None and (unknown := sorted(size.keys() - set(known))):
            names = ", ".join(known).replace("input_shape", "input (CxHxW)")
            raise UsageError(f"space {space} has no size {unknown[0]!r}; it has {names}")
        return get_space(space, **size)
    except KeyError as error:
        raise UsageError(f"no space {space!r}; known: {', '.join(space_names())}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"space {space}: {error}") from error


def select_architectures(text: str, source: ArchitectureSource, seed: int = 0) -> list[Architecture]:
    """The architectures for `N`, `reference`, `all` or the path of a file.

    A file has a string a line, or architectures in a form that the space's own publications have them in (see
    `ArchitectureSource.from_published`): one a line, or as a JSON or YAML document. Raises UsageError naming
    the file and the place of the first that is none.
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
        entries = read_listed(path)
    except UsageError as error:
        raise UsageError(f"--archs: not a number, `reference`, `all` or a readable file ({error})") from error
    found = [one for entry in entries for one in _named_by(entry, source)]
    if not found:
        raise UsageError(f"--archs {path}: the file names no architecture")
    return found


def _named_by(entry: Listed, source: ArchitectureSource, depth: int = 0) -> Iterator[Architecture]:
    """The architectures in one line or value of a file: itself, or those in its list."""
    value = entry.value
    try:
        known = source.from_published(value)
        if known is None and isinstance(value, str):
            known = source.parse(value)
    except ArchitectureError as error:
        raise UsageError(f"--archs {entry.where}: {error}") from error
    if known is not None:
        yield known
    elif isinstance(value, list) and depth < MAX_DEPTH:
        for number, one in enumerate(value, start=1):
            yield from _named_by(Listed(f"{entry.where}, entry {number}", one), source, depth + 1)
    else:
        told = clean_text(repr(value), 80)
        raise UsageError(
            f"--archs {entry.where}: no architecture of {source.name}: {told}; write it as in "
            f"{source.anchor.string}"
        )
