"""The file that a run's supernetwork starts from, checked before anything is measured."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.core.errors import UsageError
from harness.core.home import file_sha256
from harness.runs.run import RunConfig, TaskAndSpace
from modnas.spaces import Space, Supernetwork


def weights_sha256(path: Path) -> str:
    """What identifies the file. Raises UsageError when it cannot be read."""
    try:
        if path.exists() and not path.is_dir() and not path.is_file():  # reading a pipe would wait
            raise UsageError(f"--weights {path}: no file")
        return file_sha256(path)
    except OSError as error:
        raise UsageError(f"--weights {path}: {error.strerror or error}") from error


def start_from(config: RunConfig, space: Space, supernetwork: Supernetwork, path: Path | None) -> int:
    """Give a supernetwork the weights that a run starts with; returns how much else the file has.

    Raises UsageError when there is no file, or it has changed since the run began, or is of another network.
    """
    if path is None:
        raise UsageError("the search has not begun: give its search command, with --weights, again")
    if weights_sha256(path) != config.weights_sha256:
        raise UsageError(
            f"--weights {path}: the file has changed since the run began; give the command again"
        )
    try:
        return space.load_weights(supernetwork, path)
    except ValueError as error:
        raise UsageError(f"--weights {path}: {error}") from error


def check_weights(config: RunConfig, path: Path, made: TaskAndSpace | None = None) -> tuple[str, ...]:
    """Read the file once, for its errors and for what of it is not used, a line each. Raises UsageError."""
    space = (made or TaskAndSpace(config)).space
    with torch.random.fork_rng(devices=[]):
        others = start_from(config, space, space.supernetwork(), path)
    return (f"weights: {others:,} other entries of {path} not used",) if others else ()
