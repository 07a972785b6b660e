"""Presets of NAS-Bench-201."""

from __future__ import annotations

from harness.presets.base import Preset, Recipe

# quick: with two channels and digits scaled up to 24 pixels the choice of a cell decides a network's error.
# Wider networks, or smaller images of which the fixed parts see everything, learn digits with any cell.
PRESETS = {
    "quick": Preset(
        space={"channels": 2, "cells": 1},
        profile_archs=80,
        batch_size=64,
        threads=1,
        task_limit=1500,
        task_side=24,
        search={
            "epochs": 120,
            "learning_rate": 0.1,
            "smoothing": 5,
            "preferences_per_step": 4,
            "warmup_epochs": 200,
            "uniform_share": 0.5,
            "weights_learning_rate": 0.1,
            "weights_decay": 5e-4,
            "error_bounds": [0.0, 12.0],
        },
        refine=1000,
        validate_every=10,
        recipe=Recipe(epochs=15, repeats=2),
    ),
}
