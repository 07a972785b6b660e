"""Reading a front off a MetaHypernetwork: one architecture for each preference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.search.hypernetwork import Hypernetwork
from modnas.spaces import Architecture, Space


class FrontPoint(NamedTuple):
    """An architecture and the preference that led to it; objective 1 of the preference is the task."""

    preference: tuple[float, ...]
    architecture: Architecture


@torch.no_grad()
def read_front(
    hypernetwork: Hypernetwork, space: Space, device_features: Tensor, preferences: Tensor
) -> list[FrontPoint]:
    """The most likely architecture for each preference; the device need not have been in the search.

    Args:
        device_features: shape (D,).
        preferences: shape (n, M).

    Returns:
        n points in the order of the preferences. Architectures may repeat.
    """
    place = hypernetwork.place
    preferences = preferences.to(place)
    logits = hypernetwork(preferences, device_features.to(place).expand(len(preferences), -1))
    return [
        FrontPoint(tuple(preference), space.decode(row))
        for preference, row in zip(preferences.tolist(), logits, strict=True)
    ]


def distinct(front: Iterable[FrontPoint]) -> list[FrontPoint]:
    """Each architecture once, with the first preference that led to it; the order is kept."""
    first: dict[Architecture, FrontPoint] = {}
    for point in front:
        first.setdefault(point.architecture, point)
    return list(first.values())
