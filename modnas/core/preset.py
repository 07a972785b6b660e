"""What a preset is: how large the networks are and how long everything may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# What weights are trained by: SGD with momentum, or AdamW.
Optimizer = Literal["sgd", "adam"]


class Recipe(BaseModel):
    """How a standalone network is trained when it is evaluated. Part of what identifies an evaluation.

    `repeats`: trainings from different initial weights; the error is their mean. One training of a small
    network says as much of its luck as of its architecture. `inherit`: begin with the weights that the
    search's supernetwork has for the network, its normalisation statistics fitted to it; then no epoch at
    all is an evaluation too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, Field(ge=0)]
    repeats: Annotated[int, Field(ge=1)] = 1
    inherit: bool = False
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    optimizer: Optimizer = "sgd"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Preset(BaseModel):
    """Everything a search needs beyond space, task, devices and seed.

    Args:
        space: sizes of the networks.
        profile_archs: how many are measured on each device for its MetaPredictor, besides the references.
        holdout: share of them kept to judge it.
        threads: PyTorch's, for searching and training. Small networks gain nothing from more than one, and
            only the same number repeats a result. None leaves the choice to PyTorch.
        task_limit: cap on the training images.
        task_side: images are scaled to that many pixels a side.
        search: settings of `modnas.search.SearchConfig`.
        score_images: how many validation images score a front's architectures; all unless given.
        counterfactual: the supernetwork's (see `modnas.spaces.Supernetwork`).
        refine: architectures of a front's surroundings that are scored by the search's own models (see
            `modnas.search.refinement`); 0: the front is what the MetaHypernetwork says.
        validate_every: epochs from one scoring of the front to the next.
        recipe: how a network is trained when it is evaluated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: dict[str, int]
    profile_archs: Annotated[int, Field(ge=10)]
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    batch_size: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)] | None = None
    task_limit: Annotated[int, Field(ge=1)] | None = None
    task_side: Annotated[int, Field(ge=4)] | None = None
    search: dict[str, Any]
    score_images: Annotated[int, Field(ge=1)] | None = None
    counterfactual: bool = False
    refine: Annotated[int, Field(ge=0)] = 0
    validate_every: Annotated[int, Field(ge=1)] = 1
    front_size: Annotated[int, Field(ge=2)] = 24
    recipe: Recipe


# Of a space that brings none: networks of the space's own size, a search of minutes on a CPU if a step of
# training takes milliseconds.
DEFAULT_PRESETS: Mapping[str, Preset] = {
    "quick": Preset(
        space={},
        profile_archs=80,
        batch_size=64,
        threads=1,
        task_limit=1500,
        search={
            "epochs": 30,
            "learning_rate": 0.1,
            "smoothing": 5,
            "preferences_per_step": 2,
            "warmup_epochs": 30,
            "uniform_share": 0.5,
            "weights_learning_rate": 0.1,
            "weights_decay": 5e-4,
        },
        refine=200,
        validate_every=5,
        front_size=12,
        recipe=Recipe(epochs=15),
    ),
}
