"""From logits to a sampled architecture with a gradient: straight-through estimators for one-hot choices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Estimator = Literal["reinmax", "gdas"]


def reinmax(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """ReinMax (Liu et al., "Bridging Discrete and Backpropagation", 2023): second-order accurate gradient.

    Args:
        logits: shape (n, options); the value of the result is drawn from softmax(logits).
        temperature: of the distribution inside the gradient only; 1 or above.

    Returns:
        Shape (n, options), one-hot rows.
    """
    plain = logits.softmax(-1)
    drawn = torch.multinomial(plain.detach().to(generator.device), 1, generator=generator).squeeze(1)
    chosen = one_hot(drawn.to(logits.device), logits.shape[-1]).to(logits.dtype)
    middle = (chosen + (logits / temperature).softmax(-1)) / 2
    middle = ((middle.log() - logits).detach() + logits).softmax(-1)
    relaxed = 2 * middle - plain / 2
    return relaxed - relaxed.detach() + chosen


def gdas(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Straight-through Gumbel-softmax (Jang et al., 2017), as GDAS (Dong and Yang, 2019) uses it.

    Shapes as for `reinmax`; a low temperature brings the gradient's distribution close to the one-hot value.
    """
    noise = torch.empty(logits.shape, device=generator.device).exponential_(generator=generator)
    relaxed = ((logits - noise.to(logits).log()) / temperature).softmax(-1)
    chosen = one_hot(relaxed.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return relaxed - relaxed.detach() + chosen


_ESTIMATORS: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "reinmax": reinmax,
    "gdas": gdas,
}


def sample(
    logits: Tensor,
    options: Sequence[int],
    generator: torch.Generator,
    estimator: Estimator = "reinmax",
    temperature: float = 1.0,
) -> Tensor:
    """Draw one architecture a row.

    Args:
        logits: shape (batch, sum(options)).
        options: number of options of each decision.
        generator: the only source of randomness.

    Returns:
        Shape (batch, sum(options)): for each decision a one-hot row in value, with the estimator's gradient.

    Raises:
        ValueError: unknown estimator or a temperature that is not positive.
    """
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator {estimator!r} is none of {', '.join(get_args(Estimator))}")
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    parts, start = [], 0
    # Neighbouring decisions with equally many options are drawn together.
    for count, run in itertools.groupby(options):
        width = count * len(list(run))
        rows = logits[:, start : start + width].reshape(-1, count)
        drawn = _ESTIMATORS[estimator](rows, temperature, generator)
        parts.append(drawn.reshape(len(logits), width))
        start += width
    return torch.cat(parts, 1)


def entropy(logits: Tensor, options: Sequence[int]) -> Tensor:
    """Mean entropy of a row's decisions relative to the uniform choice: (batch, width) -> (batch,) in [0, 1].

    Decisions with a single option are left out.
    """
    shares = []
    for part in torch.split(logits, list(options), 1):
        if part.shape[1] > 1:
            log_p = part.log_softmax(1)
            shares.append(-(log_p.exp() * log_p).sum(1) / torch.tensor(float(part.shape[1])).log())
    return torch.stack(shares, 1).mean(1)
