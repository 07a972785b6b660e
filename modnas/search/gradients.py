"""One direction from several gradients: multiple-gradient descent and the schemes it is compared with."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

Scheme = Literal["mgd", "mean", "sequential", "sample"]


def device_groups(scheme: Scheme, count: int, generator: torch.Generator) -> list[list[int]]:
    """Which devices share an optimiser step: `mgd`, `mean` all; `sequential` each its own; `sample` one.

    Returns:
        One list of device indices for each optimiser step, in order.

    Raises:
        ValueError: unknown scheme.
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"gradient scheme {scheme!r} is none of {', '.join(get_args(Scheme))}")
    if scheme == "sequential":
        return [[t] for t in range(count)]
    if scheme == "sample":
        return [[int(torch.randint(count, (), generator=generator, device=generator.device))]]
    return [list(range(count))]


def combine(gradients: Tensor, scheme: Scheme, normalize: bool = True) -> tuple[Tensor, Tensor]:
    """The direction a group of devices steps along.

    Args:
        gradients: shape (T, P), one row a device.
        normalize: divide each row by its norm first, so that no device wins by the size of its loss.

    Returns:
        The direction, shape (P,), and the coefficients of the (normalised) rows, shape (T,), which sum to 1.
    """
    # The rows are long: they are read twice, for the Gram matrix and for the direction, and never copied.
    gram = gradients @ gradients.T
    scales = torch.ones_like(gram[0])
    if normalize:
        norms = gram.diagonal().clamp(min=0).sqrt()
        scales = 1 / norms.where(norms > 0, scales)
    if scheme == "mgd":
        weights = min_norm_weights(gram * scales * scales.unsqueeze(1))
    else:
        weights = torch.full_like(scales, 1 / len(gradients))
    return (weights * scales) @ gradients, weights


def min_norm_weights(gram: Tensor) -> Tensor:
    """Weights on the simplex that minimise || sum_t w_t g_t ||, from the Gram matrix of the g_t.

    Non-negative least squares of the gradients with a row of ones, whose target is 1: along each ray of
    weights the residual is least at a scale that grows with the norm, so that both problems have the same
    best ray. A root of the Gram matrix stands for the gradients, which are long.

    Args:
        gram: shape (T, T), inner products.

    Returns:
        Shape (T,), not negative, sum 1; dtype and device of `gram`. Where many weights give the one shortest
        vector, any of them.
    """
    count = len(gram)
    matrix = gram.detach().cpu().double().numpy()
    size = float(np.abs(matrix).max())
    if size == 0:
        return torch.full_like(gram[0], 1 / count)
    values, vectors = np.linalg.eigh(matrix / size)
    root = np.sqrt(values.clip(min=0))[:, None] * vectors.T
    cone, _ = nnls(np.vstack([root, np.ones(count)]), np.append(np.zeros(count), 1.0))
    return torch.from_numpy(cone / cone.sum()).to(gram)
