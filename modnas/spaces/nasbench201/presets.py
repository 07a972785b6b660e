"""Presets of NAS-Bench-201."""

from __future__ import annotations

from modnas.core.preset import Preset, Recipe

# quick: with two channels and digits scaled up to 24 pixels the choice of a cell decides a network's error.
# Wider networks, or smaller images of which the fixed parts see everything, learn digits with any cell.
#
# small: CIFAR-10 on a CPU in a fraction of an hour, half of it for training what was found.
#
# paper: its hyper-parameters for this space (table 2), for a GPU; networks are trained as long as those of
# the benchmark's tables. How many cells the predictor learns of a device follows HELP.
#
# tables: the benchmark's networks on its published tables, where neither a measurement nor an accuracy costs
# anything: a short search, few steps with a large learning rate and neighbouring preferences learning
# together. For `--accuracy published --evaluations 900`.
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
    "small": Preset(
        space={"channels": 8, "cells": 1},
        profile_archs=80,
        batch_size=64,
        threads=1,
        task_limit=6000,
        task_side=16,
        search={
            "epochs": 25,
            "learning_rate": 0.1,
            "smoothing": 5,
            "preferences_per_step": 2,
            "warmup_epochs": 30,
            "uniform_share": 0.5,
            "weights_learning_rate": 0.1,
            "weights_decay": 5e-4,
        },
        refine=200,
        validate_every=12,
        front_size=12,
        recipe=Recipe(epochs=30),
    ),
    "paper": Preset(
        space={"channels": 16, "cells": 5},
        profile_archs=900,
        batch_size=256,
        search={
            "hypernetwork": "paper",
            "learning": "gradients",
            "epochs": 100,
            "learning_rate": 3e-4,
            "weight_decay": 1e-3,
            "weights_learning_rate": 0.025,
            "weights_momentum": 0.9,
            "weights_decay": 0.0027,
            "gradient_clip": 5.0,
            "bank": 50,
            "intervals": 100,
            "cosine_penalty": 0.001,
            "estimator": "reinmax",
            "scheme": "mgd",
        },
        recipe=Recipe(epochs=200, batch_size=256),
    ),
    "tables": Preset(
        space={"channels": 16, "cells": 5},
        profile_archs=900,
        batch_size=256,
        threads=1,
        search={
            "hypernetwork": "conditioned",
            "learning": "imitation",
            "epochs": 10,
            "steps_per_epoch": 40,
            "learning_rate": 0.1,
            "smoothing": 5,
            "preferences_per_step": 4,
        },
        refine=20_000,
        validate_every=2,
        recipe=Recipe(epochs=200, batch_size=256),
    ),
}
