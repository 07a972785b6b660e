"""Named sets of search settings: how large the networks are and how long everything may take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import UsageError


class Recipe(BaseModel):
    """How a standalone network is trained when it is evaluated. Part of what identifies an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class Preset(BaseModel):
    """Everything a search needs beyond space, task, devices and seed.

    `space` sizes the networks; `profile_archs` are measured on each device for its MetaPredictor besides the
    references; `holdout` is the share of them kept to judge it; `search` are settings of
    `modnas.search.SearchConfig`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: dict[str, int]
    profile_archs: Annotated[int, Field(ge=10)]
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    batch_size: Annotated[int, Field(ge=1)]
    task_limit: int | None = None
    search: dict[str, Any]
    front_size: Annotated[int, Field(ge=2)] = 24
    recipe: Recipe


PRESETS = {
    "quick": Preset(
        space={"channels": 16, "cells": 1},
        profile_archs=60,
        batch_size=64,
        task_limit=2000,
        search={
            "epochs": 60,
            "learning_rate": 1e-2,
            "smoothing": 10,
            "preferences_per_step": 2,
        },
        recipe=Recipe(epochs=8),
    ),
}


def get_preset(name: str) -> Preset:
    """The preset called `name`. Raises UsageError."""
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
