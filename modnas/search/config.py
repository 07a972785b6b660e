"""Settings of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modnas.search.estimators import Estimator
from modnas.search.gradients import Scheme

# By name: the paper's bank of tables, and a small network on a standardised device vector.
HypernetworkName = Literal["paper", "conditioned"]
Learning = Literal["gradients", "imitation"]


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search. The defaults are the paper's for NAS-Bench-201.

    Args:
        epochs: length of the search; the supernetwork's learning rate falls to zero over it as a cosine.
        warmup_epochs: passes over the training data before the search, on architectures drawn uniformly, so
            that the first preferences are not learnt from untrained weights.
        steps_per_epoch: at most so many steps an epoch; None: as many as there are batches.
        estimator: gradient of the sampled architecture.
        temperature: of the estimator.
        scheme: how the devices' gradients become one step.
        normalize_gradients: divide each device's gradient by its norm before they are combined.
        preferences_per_step: preferences drawn for each device in an upper-level step; their gradients are
            averaged.
        cosine_penalty: weight of the cosine term of the scalarised loss.
        constraints: user priors, one bound or None for each hardware metric (see `apply_constraints`).
        learning_rate, weight_decay: Adam, for the MetaHypernetwork.
        weights_optimizer: of the supernetwork: SGD, or Adam (AdamW with betas 0.9 and 0.98) for networks that
            SGD does not train.
        weights_learning_rate, weights_momentum, weights_decay, gradient_clip: of the supernetwork.
        freeze_weights: the supernetwork keeps the weights that it comes with: no warm-up, no lower level.
        bfloat16: run the networks in bfloat16 where PyTorch holds that to be safe (`torch.autocast`): faster
            on hardware that has it. Fronts are scored in float32.
        uniform_share: probability that the lower level draws an architecture uniformly and not from the
            MetaHypernetwork. Weights that are trained only for what it favours make everything else look bad,
            and it never returns to what it left too early.
        hypernetwork: which MetaHypernetwork is trained (see `modnas.search.hypernetworks`).
        learning: how it is: along gradients of sampled architectures, as in the paper, or by imitation of
            what the refinement finds (see `modnas.search.imitation`).
        imitation_steps, imitation_rate, imitation_batch: Adam steps over the whole search, their learning
            rate, and preferences drawn for each device in one.
        imitation_budget: architectures of a large space to score for the front of each device; None: as many
            as descents come to.
        bank, intervals, smoothing, tables: the paper's MetaHypernetwork's (see there); its tables are the
            space's unless given.
        front_size: number of preferences of a front.
        error_bounds: task errors, percent, that count as 0 and 1 in the hypervolume that picks a state.
        seed: of the one generator behind all draws.
    """

    epochs: int = 100
    warmup_epochs: int = 0
    steps_per_epoch: int | None = None
    estimator: Estimator = "reinmax"
    temperature: float = 1.0
    scheme: Scheme = "mgd"
    normalize_gradients: bool = True
    preferences_per_step: int = 1
    cosine_penalty: float = 0.001
    constraints: tuple[float | None, ...] = ()
    learning_rate: float = 3e-4
    weight_decay: float = 1e-3
    weights_optimizer: Literal["sgd", "adam"] = "sgd"
    weights_learning_rate: float = 0.025
    weights_momentum: float = 0.9
    weights_decay: float = 0.0027
    gradient_clip: float = 5.0
    freeze_weights: bool = False
    bfloat16: bool = False
    uniform_share: float = 0.0
    hypernetwork: HypernetworkName = "paper"
    learning: Learning = "gradients"
    imitation_steps: int = 1500
    imitation_rate: float = 3e-3
    imitation_batch: int = 32
    imitation_budget: int | None = None
    bank: int = 50
    intervals: int = 100
    smoothing: int = 0
    tables: tuple[tuple[int, int], ...] | None = None
    front_size: int = 24
    error_bounds: tuple[float, float] = (0.0, 100.0)
    seed: int = 0
