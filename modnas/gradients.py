"""One direction from several gradients: multiple-gradient descent and the schemes it is compared with."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Scheme = Literal["mgd", "mean", "sequential", "sample"]

Floats = npt.NDArray[np.float64]


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


def min_norm_weights(gram: Tensor, iterations: int = 250, tolerance: float = 1e-10) -> Tensor:
    """Weights on the simplex that minimise || sum_t w_t g_t ||, from the Gram matrix of the g_t.

    One and two gradients have a closed form. More: Frank-Wolfe as in Sener and Koltun (2018), which ends the
    search for the face of the simplex, then Wolfe's (1976) active-set steps, which solve that face exactly.

    Args:
        gram: shape (T, T), inner products.
        iterations: limit of Frank-Wolfe steps.
        tolerance: duality gap at which to stop, relative to the largest entry.

    Returns:
        Shape (T,), not negative, sum 1; dtype and device of `gram`.
    """
    count = len(gram)
    if count == 1:
        return torch.ones_like(gram[0])
    matrix = gram.detach().cpu().double().numpy()
    size = float(np.abs(matrix).max())
    if size == 0:
        return torch.full_like(gram[0], 1 / count)
    matrix = matrix / size
    if count == 2:
        weights = _two(matrix)
    else:
        weights = _active_set(matrix, _frank_wolfe(matrix, iterations, tolerance), tolerance)
    return torch.from_numpy(weights).to(gram)


def _two(gram: Floats) -> Floats:
    apart = gram[0, 0] - 2 * gram[0, 1] + gram[1, 1]  # || g1 - g2 ||²
    first = 0.5 if apart <= 0 else float(np.clip((gram[1, 1] - gram[0, 1]) / apart, 0, 1))
    return np.array([first, 1 - first])


def _frank_wolfe(gram: Floats, iterations: int, tolerance: float) -> Floats:
    weights = np.full(len(gram), 1 / len(gram))
    for _ in range(iterations):
        products = gram @ weights
        vertex = int(products.argmin())
        a, b, c = float(weights @ products), float(products[vertex]), float(gram[vertex, vertex])
        if a - b <= tolerance:
            break
        step = 1.0 if b >= c else (a - b) / (a - 2 * b + c)
        weights *= 1 - step
        weights[vertex] += step
    return weights


def _active_set(gram: Floats, weights: Floats, tolerance: float) -> Floats:
    """Minimise over the affine hull of the active vertices; drop those that would turn negative; add the one
    of steepest descent, until none descends. Near ties may cycle, hence the limit and the best so far."""
    best, best_value = weights, float(weights @ gram @ weights)
    active = weights > 1e-9
    for _ in range(10 * len(gram)):
        target = _affine_minimum(gram, active)
        falling = target < np.minimum(weights, 0)
        if falling.any():
            ratios = weights[falling] / (weights[falling] - target[falling])
            weights = weights + float(ratios.min()) * (target - weights)
            blocked = np.flatnonzero(falling)[ratios <= ratios.min()]
            active[blocked] = False
            weights[~active] = 0
            continue
        weights = np.maximum(target, 0) / np.maximum(target, 0).sum()
        products = gram @ weights
        value = float(weights @ products)
        if value < best_value:
            best, best_value = weights, value
        vertex = int(products.argmin())
        if value - products[vertex] <= tolerance * 1e-3 or active[vertex]:
            break
        active[vertex] = True
    return best


def _affine_minimum(gram: Floats, active: npt.NDArray[np.bool_]) -> Floats:
    """Weights of sum 1, of either sign, on the active vertices that minimise the norm."""
    index = np.flatnonzero(active)
    n = len(index)
    system = np.ones((n + 1, n + 1))
    system[:n, :n], system[n, n] = gram[np.ix_(index, index)], 0.0
    right = np.zeros(n + 1)
    right[n] = 1.0
    target = np.zeros(len(gram))
    target[index] = np.linalg.lstsq(system, right, rcond=1e-14)[0][:n]
    return target
