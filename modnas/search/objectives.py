"""What a search minimises: the scalarised loss of a device, with the user's bounds on its metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def apply_constraints(metrics: Tensor, constraints: Sequence[float | None]) -> Tensor:
    """User priors: normalised hardware metrics (n, M - 1), without gradient where they are satisfied.

    `constraints[m]` is the bound of metric m in [0, 1], None for no bound: 0 optimises the metric wherever it
    is above its minimum, 1 leaves only the others.
    """
    if not any(bound is not None for bound in constraints):
        return metrics
    bounds = metrics.new_tensor([-torch.inf if bound is None else bound for bound in constraints])
    return torch.where(metrics.detach() <= bounds, metrics.detach(), metrics)


def scalarise(objectives: Tensor, preferences: Tensor, cosine_penalty: float) -> Tensor:
    """sum_m r_m L_m - penalty * cos(r, L) of normalised objectives (n, M), preferences (n, M) -> (n,).

    The cosine pulls the objectives toward the ray of the preference (Ruchte and Grabocka, 2021). Its gradient
    grows like 1 / || L || toward the ideal point; the floor on the norm keeps that from taking over.
    """
    alignment = cosine_similarity(preferences, objectives, dim=1, eps=0.01)
    return (preferences * objectives).sum(1) - cosine_penalty * alignment
