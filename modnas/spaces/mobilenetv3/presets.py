"""Presets of the MobileNetV3 space."""

from __future__ import annotations

from typing import Any

from modnas.core.preset import Preset, Recipe
from modnas.spaces.mobilenetv3.choices import TABLES

# What both have in common. A warm-up that makes the weights good enough to inherit, then a short search.
_SEARCH: dict[str, Any] = {
    "tables": [list(table) for table in TABLES],  # as a run's configuration reads them back
    "learning_rate": 0.1,
    "smoothing": 5,
    "preferences_per_step": 1,
    "uniform_share": 0.5,
    "weights_learning_rate": 0.1,
    "weights_decay": 5e-4,
}

# small: for CIFAR-10, scaled up to twice its side for the largest input. quick: for digits and the like.
# Networks are evaluated as once-for-all's are: with the weights they inherit, not trained any further.
#
# paper: its hyper-parameters for this space (table 2), for a GPU and a supernetwork that starts from a
# published checkpoint: networks are of its size where a task has 1,000 classes. How many the predictor
# learns of a device follows HELP.
PRESETS = {
    "small": Preset(
        space={"width_percent": 25, "min_side": 32},
        profile_archs=80,
        batch_size=64,
        threads=1,
        task_side=64,
        search={**_SEARCH, "epochs": 6, "warmup_epochs": 24},
        score_images=500,
        refine=300,
        validate_every=2,
        recipe=Recipe(epochs=0, inherit=True),
    ),
    "quick": Preset(
        space={"width_percent": 25, "min_side": 24},
        profile_archs=80,
        batch_size=64,
        threads=1,
        task_limit=1500,
        task_side=48,
        search={**_SEARCH, "epochs": 8, "warmup_epochs": 20},
        score_images=300,
        refine=300,
        validate_every=2,
        recipe=Recipe(epochs=0, inherit=True),
    ),
    "paper": Preset(
        space={"width_percent": 120},
        profile_archs=900,
        batch_size=32,
        task_side=224,
        search={
            "tables": [list(table) for table in TABLES],
            "hypernetwork": "paper",
            "learning": "gradients",
            "epochs": 50,
            "learning_rate": 1e-5,
            "weight_decay": 1e-3,
            "weights_learning_rate": 1e-3,
            "weights_momentum": 0.9,
            "weights_decay": 3e-5,
            "bank": 50,
            "intervals": 100,
            "cosine_penalty": 0.001,
            "estimator": "reinmax",
            "scheme": "mgd",
        },
        recipe=Recipe(epochs=0, inherit=True),
    ),
}
