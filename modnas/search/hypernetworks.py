"""MetaHypernetworks by name."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from modnas.search.conditioned import ConditionedHypernetwork
from modnas.search.config import HypernetworkName, SearchConfig
from modnas.search.hypernetwork import Hypernetwork, MetaHypernetwork
from modnas.spaces import Space


def make_hypernetwork(
    space: Space, devices: Tensor, objectives: int, config: SearchConfig, generator: torch.Generator
) -> Hypernetwork:
    """The MetaHypernetwork that a configuration names, random, where the device vectors `devices` (T, D) lie.

    Raises:
        ValueError: there is none of that name.
    """
    if config.hypernetwork not in get_args(HypernetworkName):
        known = ", ".join(get_args(HypernetworkName))
        raise ValueError(f"hypernetwork {config.hypernetwork!r} is none of {known}")
    if config.hypernetwork == "conditioned":
        return ConditionedHypernetwork(space.options, devices.cpu(), objectives, generator=generator).to(
            devices.device
        )
    return MetaHypernetwork(
        space.options,
        devices.shape[1],
        objectives,
        bank=config.bank,
        intervals=config.intervals,
        tables=config.tables or space.tables,
        smoothing=config.smoothing,
        generator=generator,
    ).to(devices.device)
