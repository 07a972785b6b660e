"""The file that a run's supernetwork starts from, checked before anything is measured."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.core.errors import UsageError
from harness.core.home import file_sha256
from harness.runs.run import RunConfig, TaskAndSpace
from modnas.core.weights import Fit
from modnas.spaces import Space, Supernetwork


def weights_sha256(path: Path) -> str:
    """What identifies the file. Raises UsageError when it cannot be read."""
    try:
        if path.exists() and not path.is_dir() and not path.is_file():  # reading a pipe would wait
            raise UsageError(f"--weights {path}: no file")
        return file_sha256(path)
    except OSError as error:
        raise UsageError(f"--weights {path}: {error.strerror or error}") from error


def start_from(
    config: RunConfig, space: Space, supernetwork: Supernetwork, path: Path | None
) -> tuple[str, ...]:
    """Give a supernetwork the weights that a run starts with; a line on all that is not used, if any.

    Weights that are trained further may fit in part; those that stay as they are have to fit as a whole.

    Raises UsageError when there is no file, or it has changed since the run began, or is of another network.
    """
    if path is None:
        raise UsageError("the search has not begun: give its search command, with --weights, again")
    if weights_sha256(path) != config.weights_sha256:
        raise UsageError(
            f"--weights {path}: the file has changed since the run began; give the command again"
        )
    notes = []
    try:
        others = space.load_weights(supernetwork, path)
    except ValueError as error:
        fit, others = _load_in_part(space, supernetwork, path)
        if config.settings.search.get("freeze_weights"):
            raise UsageError(
                f"--weights {path}: {error}; without --freeze-weights what fits is taken, and trained further"
            ) from error
        notes.append(f"weights: {fit} (of {path})")
    if others:
        notes.append(f"weights: {others:,} other entries of {path} not used")
    return tuple(notes)


def _load_in_part(space: Space, supernetwork: Supernetwork, path: Path) -> tuple[Fit, int]:
    try:
        return space.load_fitting_weights(supernetwork, path)
    except ValueError as error:
        raise UsageError(f"--weights {path}: {error}") from error


def check_weights(config: RunConfig, path: Path, made: TaskAndSpace | None = None) -> tuple[str, ...]:
    """Read the file once, for its errors and for what of it is not used, a line each. Raises UsageError."""
    space = (made or TaskAndSpace(config)).space
    with torch.random.fork_rng(devices=[]):
        return start_from(config, space, space.supernetwork(), path)
