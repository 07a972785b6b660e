"""A task loss without a supernetwork: a model of the error, fitted on evaluated architectures.

A Gaussian process on the logarithm of the error: errors of good architectures differ by tenths of a percent,
those of bad ones by tens. Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
ch. 2 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from modnas.prediction.gaussian_process import smooth
from modnas.spaces import Architecture, Space

# Logarithms of, for each of two feature groups: amplitude and length of the smooth function, weight of the
# linear one; then of noise and constant. Start of the search and mean of its prior.
_START = (0.0, 0.0, 1.0, 1.0, -1.0, -1.0, -5.0, 0.0)
_PRIOR_SD = 3.0
_NOISE_FLOOR = 1e-5
_FIT_LIMIT = 300  # hyperparameters are found on this many rows at most; cost grows with the third power

Groups = tuple[Tensor, Tensor]


class AccuracySurrogate(nn.Module):
    """Error in percent of one-hot samples; all that it learned is in its buffers (float64).

    It is a `BatchedTaskLoss` for a search without a supernetwork; batches are ignored.

    Args:
        rows: number of architectures it is fitted on.
    """

    onehot: Tensor
    weights: Tensor
    log_parameters: Tensor
    mean: Tensor
    sd: Tensor

    def __init__(self, space: Space, rows: int) -> None:
        super().__init__()
        self.space = space
        zero = torch.zeros((), dtype=torch.float64)
        self.register_buffer("onehot", zero.new_zeros(rows, space.width))
        self.register_buffer("weights", zero.new_zeros(rows))
        self.register_buffer("log_parameters", zero.new_tensor(_START))
        self.register_buffer("mean", zero.clone())
        self.register_buffer("sd", zero + 1)
        self._known: Groups | None = None

    def forward(self, onehot: Tensor) -> Tensor:
        """Expected error, percent: (n, width) -> (n,), differentiable in the samples."""
        if self._known is None:
            self._known = _groups(self.space, self.onehot)
        covariance = _kernel(_groups(self.space, onehot.double()), self._known, self.log_parameters)
        return (covariance @ self.weights * self.sd + self.mean).exp().to(onehot.dtype)

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        """Expected error of one sample (width,), percent."""
        return self.losses(sample.unsqueeze(0), batch)[0]

    def losses(self, samples: Tensor, batch: Any) -> Tensor:
        """Expected errors, percent: (n, width) -> (n,)."""
        result: Tensor = self(samples)
        return result

    @torch.no_grad()
    def error(self, sample: Tensor) -> float:
        """Expected error of one sample (width,), percent."""
        return float(self.loss(sample, None))

    @torch.no_grad()
    def condition(self, onehot: Tensor, values: Tensor, log_parameters: Tensor) -> None:
        """Take in log errors (n,) under given hyperparameters."""
        self.mean.copy_(values.mean())
        self.sd.copy_(_spread(values))
        self.onehot.copy_(onehot)
        self.log_parameters.copy_(log_parameters)
        factor = torch.linalg.cholesky(_noisy(_groups(self.space, onehot), log_parameters))
        targets = ((values - self.mean) / self.sd).unsqueeze(1)
        self.weights.copy_(torch.cholesky_solve(targets, factor).squeeze(1))
        self._known = None


def fit_surrogate(
    space: Space,
    architectures: Sequence[Architecture],
    errors: ArrayLike,
    chance: float,
    seed: int = 0,
) -> AccuracySurrogate:
    """Fit on evaluated architectures. Same arguments, same result.

    Args:
        architectures: n of them, two or more usable ones.
        errors: percent, (n,), positive.
        chance: error of guessing, percent: what an architecture has that does not see its input. Known
            without an evaluation, and told to the model.
        seed: picks the rows that the hyperparameters are found on when there are many.

    Raises:
        ValueError: fewer than two usable architectures, or errors that are not positive.
    """
    given = torch.as_tensor(errors, dtype=torch.float64)
    if given.shape != (len(architectures),) or not (given > 0).all():
        raise ValueError(f"{len(architectures)} positive errors expected")
    usable = [i for i, a in enumerate(architectures) if space.is_usable(a)]
    if len(usable) < 2:
        raise ValueError("an accuracy surrogate needs at least two evaluated architectures that are usable")
    onehot = space.encode([architectures[i] for i in usable]).double()
    values = given[usable].log()
    parameters = _find_parameters(space, onehot, values, seed)
    blind = space.unusable
    if blind is not None:
        onehot = torch.cat([onehot, space.encode([blind]).double()])
        values = torch.cat([values, values.new_tensor([chance]).log()])
    surrogate = AccuracySurrogate(space, len(onehot))
    surrogate.condition(onehot, values, parameters)
    return surrogate


def _find_parameters(space: Space, onehot: Tensor, values: Tensor, seed: int) -> Tensor:
    """Hyperparameters of largest posterior density, by L-BFGS on some of the rows."""
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))[:_FIT_LIMIT]
    groups = _groups(space, onehot[order])
    targets = ((values[order] - values.mean()) / _spread(values)).unsqueeze(1)
    start = torch.tensor(_START, dtype=torch.float64)
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([point], max_iter=40, line_search_fn="strong_wolfe")

    def negative_log_posterior() -> float:
        optimiser.zero_grad()
        factor = torch.linalg.cholesky(_noisy(groups, point))
        whitened = torch.linalg.solve_triangular(factor, targets, upper=False)
        loss = whitened.square().sum() / 2 + factor.diagonal().log().sum()
        loss = loss + ((point - start) / _PRIOR_SD).square().sum() / 2
        torch.autograd.backward(loss)
        return float(loss.detach())

    optimiser.step(negative_log_posterior)  # type: ignore[no-untyped-call]
    return point.detach()


def _groups(space: Space, onehot: Tensor) -> Groups:
    return space.predictor_features(onehot), space.function_features(onehot)


def _kernel(a: Groups, b: Groups, log_parameters: Tensor) -> Tensor:
    """Prior covariance of the noise-free values of two sets of architectures: (n, m)."""
    p = log_parameters.clamp(-14, 8).exp()
    total = p[7]
    for k in (0, 1):
        total = total + p[k] * smooth(a[k], b[k], p[2 + k]) + p[4 + k].square() * (a[k] @ b[k].T)
    return total


def _noisy(groups: Groups, log_parameters: Tensor) -> Tensor:
    noise = log_parameters[6].clamp(-14, 8).exp() + _NOISE_FLOOR
    return _kernel(groups, groups, log_parameters) + noise * torch.eye(len(groups[0])).to(groups[0])


def _spread(values: Tensor) -> Tensor:
    return values.std(correction=0).clamp(min=1e-6)
