"""Preference vectors: how much each objective counts. Points of the simplex, objective 1 is the task loss."""

from __future__ import annotations

import math

import torch
from pymoo.util.ref_dirs import get_reference_directions
from torch import Tensor


def sample(count: int, objectives: int, generator: torch.Generator) -> Tensor:
    """Draw preferences from Dirichlet(1, ..., 1), the uniform distribution on the simplex.

    Returns:
        float32, shape (count, objectives), on the generator's device; rows sum to 1.
    """
    # Dirichlet(1, ..., 1) is a vector of exponentials divided by its sum; torch's own takes no generator.
    draws = torch.empty(count, objectives, device=generator.device).exponential_(generator=generator)
    return draws / draws.sum(1, keepdim=True)


def spread(count: int, objectives: int) -> Tensor:
    """Evenly spread preferences, the same on every call.

    The Das-Dennis lattice if it has `count` points, as it always does for two objectives:
    (i / (count - 1), 1 - i / (count - 1)). Else `count` points relaxed to an even spacing, the corners of the
    simplex among them; pymoo has other ones of any number, with which fronts would no longer be the same.

    Returns:
        float32, shape (count, objectives); rows sum to 1.

    Raises:
        ValueError: fewer than two objectives, or fewer points than objectives.
    """
    if objectives < 2 or count < objectives:
        raise ValueError(f"{count} preferences cannot span {objectives} objectives (at least 2)")
    lattice = _lattice(count, objectives)
    return (lattice if len(lattice) == count else _relaxed(count, objectives)).float()


def _lattice(count: int, objectives: int) -> Tensor:
    """The coarsest Das-Dennis lattice of at least `count` points: multiples of 1 / n on the simplex."""
    divisions = 1
    while math.comb(divisions + objectives - 1, objectives - 1) < count:
        divisions += 1
    points = get_reference_directions("das-dennis", objectives, n_partitions=divisions)
    return torch.from_numpy(points)


def _relaxed(count: int, objectives: int) -> Tensor:
    """Farthest-point selection from a fine lattice, then Lloyd's relaxation with the corners held."""
    fine = _lattice(40 * count, objectives)
    chosen = torch.eye(objectives, dtype=torch.float64)
    while len(chosen) < count:
        farthest = torch.cdist(fine, chosen).amin(1).argmax()
        chosen = torch.cat([chosen, fine[farthest : farthest + 1]])
    for _ in range(30):
        nearest = torch.cdist(fine, chosen).argmin(1)
        for k in range(objectives, count):
            if (nearest == k).any():
                chosen[k] = fine[nearest == k].mean(0)
    return chosen
