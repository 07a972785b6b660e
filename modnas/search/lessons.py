"""What a MetaHypernetwork is taught by imitation: for each device of a search the best front that is known.

Where a space is small all of it is looked at; else a front is refined (see `refinement`) from the front of
the device before, which lies near it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from modnas.search.front import FrontPoint
from modnas.search.refinement import Score, Values, answered, refine, select
from modnas.spaces import Architecture, Space

# Of a space with at most so many encodings every usable architecture is looked at.
_LISTED = 20_000


class Lesson(NamedTuple):
    """The front of one device: K architectures in plainest form.

    Attributes:
        preferences: the preference that leads to each (see `places`), (K, M).
        choices: (K, decisions), long.
        values: scaled objectives in the form that the models find best on this device, (K, M), float64.
    """

    preferences: Tensor
    choices: Tensor
    values: Tensor


def draw_up(
    space: Space, scores: Sequence[Score], count: int, starts: Sequence[FrontPoint], budget: int | None = None
) -> list[Lesson]:
    """The lessons of devices, given by their scores, in the same order.

    Args:
        count: architectures of a front.
        starts: where descents begin on the first device; what is found there is where they begin on the next.
            Not looked at where the space is small.
        budget: architectures to score on each device of a large space (see `refinement.refine`).
    """
    every = listed(space)
    found = []
    for score in scores:
        if every is None:
            starts = refine(space, starts, score, count, budget=budget, plain=False)
            architectures = [point.architecture for point in starts]
            values = score(architectures)
        else:
            values = score(every)
            chosen = select(values, count)
            architectures, values = [every[i] for i in chosen], values[chosen]
        order = np.argsort(-values[:, 0], kind="stable")
        choices = [space.simplified(architectures[i]).choices for i in order]
        values = values[order]
        found.append(Lesson(places(values), torch.tensor(choices), torch.from_numpy(values)))
    return found


def places(values: Values) -> Tensor:
    """The preference that leads to each member of a front (K, M) which is ordered by its first objective.

    With two objectives the members are spread evenly: the preference says how far along the front to go, and
    every member, in a concave part too, has as much of it as any other. With more there is no such order, and
    a member's preference is the one that it answers (see `refinement.answered`).
    """
    if values.shape[1] == 2:
        share = np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([0.5])
        return torch.tensor(np.stack([share, 1 - share], 1), dtype=torch.float32)
    return torch.tensor(answered(values), dtype=torch.float32)


def listed(space: Space) -> list[Architecture] | None:
    """Every usable architecture of a small space, in all its forms; None of a large one."""
    if math.prod(space.options) > _LISTED:
        return None
    every = (space.architecture(choices) for choices in itertools.product(*map(range, space.options)))
    return [architecture for architecture in every if space.is_usable(architecture)]
