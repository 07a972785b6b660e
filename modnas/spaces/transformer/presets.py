"""Presets of the transformer space."""

from __future__ import annotations

from modnas.core.preset import Preset, Recipe
from modnas.spaces.transformer.choices import HYPERNETWORK_TABLES

# small: what two CPU cores can train in half an hour, an eighth of HAT's widths. Normalisation
# before the branches, because the other kind needs thousands of steps before it learns. As in the paper,
# networks are evaluated with the weights of the supernetwork and not trained again.
PRESETS = {
    "small": Preset(
        space={"embed": 80, "ffn": 192, "heads": 4, "inner": 64, "norm_first": 1},
        profile_archs=60,
        batch_size=128,
        threads=1,
        search={
            "epochs": 10,
            "steps_per_epoch": 20,
            "learning_rate": 0.1,
            "smoothing": 5,
            "preferences_per_step": 2,
            "tables": [list(table) for table in HYPERNETWORK_TABLES],
            "warmup_epochs": 8,
            "uniform_share": 0.5,
            "weights_optimizer": "adam",
            "weights_learning_rate": 0.003,
            "weights_decay": 0.01,
            "gradient_clip": 1.0,
            "error_bounds": [80.0, 100.0],
        },
        refine=200,
        validate_every=5,
        front_size=12,
        recipe=Recipe(epochs=0, inherit=True, optimizer="adam", label_smoothing=0.1),
    ),
}
