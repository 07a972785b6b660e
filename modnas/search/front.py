"""Reading a front off a MetaHypernetwork: one architecture for each preference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from modnas.search.devices import SearchDevice
from modnas.search.hypernetwork import Hypernetwork
from modnas.spaces import Architecture, Space

# Relative difference of a metric that a predictor is trusted to see.
_TOLD_APART = 0.01


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


def fastest_forms(space: Space, device: SearchDevice, points: Iterable[FrontPoint]) -> list[FrontPoint]:
    """The same networks in the forms that are best on a device, as far as its predictor tells.

    The plainest form, unless another one's metrics, weighed as the preference weighs them, are better by more
    than what predictors tell apart: on runtimes that delete dead operators all forms are one.
    """
    points = list(points)
    forms = {point.architecture: space.forms(point.architecture) for point in points}
    every = list(dict.fromkeys(form for several in forms.values() if len(several) > 1 for form in several))
    if not every:
        return points
    metrics = dict(zip(every, device.metrics(space, every), strict=True))

    def best(preference: tuple[float, ...], several: Sequence[Architecture]) -> Architecture:
        if len(several) == 1:
            return several[0]
        own = np.stack([metrics[form] for form in several])
        change = (own - own[0]) / np.abs(own[0])
        weights = np.array(preference[1:]) + 1e-6  # where only the task counts, all as much
        costs = change @ (weights / weights.sum())
        chosen = int(costs.argmin())
        return several[chosen if costs[chosen] < -_TOLD_APART else 0]

    return [
        FrontPoint(point.preference, best(point.preference, forms[point.architecture])) for point in points
    ]


def distinct(front: Iterable[FrontPoint]) -> list[FrontPoint]:
    """Each architecture once, with the first preference that led to it; the order is kept."""
    first: dict[Architecture, FrontPoint] = {}
    for point in front:
        first.setdefault(point.architecture, point)
    return list(first.values())
