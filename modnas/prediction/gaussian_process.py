"""Gaussian process regression on architectures: the part of the predictor that learns one device.

A metric is nearly a sum over operators plus some interactions. The prior says just that: linear functions of
three feature groups, which differ in what they know of deleted operators, and a smooth function of two.
How much of each a device needs is decided by the marginal likelihood of its measurements, so that 80 are
enough. Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, ch. 2 and 5.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from modnas.spaces import Space

# Logarithms of: constant, noise, linear in live, chosen and counts; amplitude and length scale of the
# smooth functions of live and of chosen. Start of the search and mean of its prior.
_START = (2.0, -5.0, -2.0, -2.0, -2.0, -2.0, 1.0, -2.0, 1.0)
_PRIOR_SD = 3.0
_LOG_RANGE = (-14.0, 8.0)
_NOISE_FLOOR = 1e-5  # in units of the values' variance; keeps the kernel matrix invertible
NORMAL_QUANTILE = 1.645  # 90 % of a normal variable lie within so many standard deviations
_FIT_LIMIT = 200  # hyperparameters are found on this many rows at most; cost grows with the third power


class Features(NamedTuple):
    """What the kernel sees of n architectures, float64.

    Attributes:
        live: `space.predictor_features`, what runtimes that delete dead operators execute.
        chosen: `space.chosen_features`, with the dead operators that some runtimes execute.
        counts: how often each option is chosen, (n, options); (n, 0) if decisions differ in their options.
    """

    live: Tensor
    chosen: Tensor
    counts: Tensor

    @classmethod
    def of(cls, space: Space, onehot: Tensor) -> Features:
        """Features of one-hot rows (n, width), differentiable in them."""
        onehot = onehot.double()
        options = set(space.options)
        shared = len(options) == 1
        counts = onehot.view(-1, len(space.options), options.pop()).sum(dim=1) if shared else onehot[:, :0]
        return cls(space.predictor_features(onehot), space.chosen_features(onehot), counts)

    def rows(self, chosen: Tensor) -> Features:
        """Features of some of the architectures."""
        return Features(*(f[chosen] for f in self))


def smooth(a: Tensor, b: Tensor, length: Tensor) -> Tensor:
    """exp(-|| a - b ||² / (2 length²)) for every pair of rows: (n, m)."""
    a, b = a / length, b / length
    return torch.exp(a @ b.T - a.square().sum(1, keepdim=True) / 2 - b.square().sum(1) / 2)


def kernel(a: Features, b: Features, log_parameters: Tensor) -> Tensor:
    """Prior covariance of the noise-free values of two sets of architectures: (n, m)."""
    p = log_parameters.clamp(*_LOG_RANGE).exp()
    scaled = torch.cat([scale * part for scale, part in zip(p[2:5], a, strict=True)], dim=1)
    linear = scaled @ torch.cat(b, dim=1).T
    return linear + p[5] * smooth(a.live, b.live, p[6]) + p[7] * smooth(a.chosen, b.chosen, p[8]) + p[0]


def _kernel_diagonal(a: Features, log_parameters: Tensor) -> Tensor:
    p = log_parameters.clamp(*_LOG_RANGE).exp()
    linear: Tensor = p[2:5] @ torch.stack([part.square().sum(1) for part in a])
    return linear + p[0] + p[5] + p[7]


class GaussianProcess(nn.Module):
    """A metric of one device over architectures; all that it learned is in its buffers (float64).

    Measurement noise is taken as relative: its variance grows with the square of the value, so that small
    values are fitted as closely, in percent, as large ones.

    Args:
        rows: number of architectures it is fitted on.
    """

    live: Tensor
    chosen: Tensor
    counts: Tensor
    noise: Tensor
    alpha: Tensor
    log_parameters: Tensor
    mean: Tensor
    sd: Tensor
    quantile: Tensor

    def __init__(self, space: Space, rows: int) -> None:
        super().__init__()
        zero = torch.zeros((), dtype=torch.float64)
        shapes = Features.of(space, zero.new_zeros(1, space.width))
        for name, part in shapes._asdict().items():
            self.register_buffer(name, part.new_zeros(rows, part.shape[1]))
        self.register_buffer("noise", zero.new_ones(rows))
        self.register_buffer("alpha", zero.new_zeros(rows))
        self.register_buffer("log_parameters", zero.new_tensor(_START))
        self.register_buffer("mean", zero + 1)
        self.register_buffer("sd", zero + 1)
        self.register_buffer("quantile", zero + NORMAL_QUANTILE)

    @property
    def features(self) -> Features:
        """The architectures it is fitted on."""
        return Features(self.live, self.chosen, self.counts)

    def forward(self, features: Features) -> Tensor:
        """Expected values (n,), in the unit of the values fitted; differentiable in the features."""
        return self._values(kernel(features, self.features, self.log_parameters))

    @torch.no_grad()
    def measured(self) -> Tensor:
        """The values it was fitted on, in the order of `features`: (n,)."""
        # What the fit leaves over of a measurement is its weight times its noise.
        left = self.alpha * self.noise * _noise_variance(self.log_parameters)
        values: Tensor = self(self.features) + left * self.sd
        return values

    @torch.no_grad()
    def measured_with_deviations(self) -> tuple[Tensor, Tensor]:
        """`measured`, and the known standard deviation of each value: (n,) each."""
        values = self.measured()
        known = (self.noise - _noise_weights(values, self.mean)).clamp(min=0)
        return values, (known * _noise_variance(self.log_parameters)).sqrt() * self.sd

    @torch.no_grad()
    def with_further(self, features: Features, values: Tensor, deviations: Tensor) -> GaussianProcess:
        """The same device after m more measurements, with the same hyperparameters."""
        known, uncertain = self.measured_with_deviations()
        every = Features(*map(torch.cat, zip(self.features, features, strict=True)))
        process = copy.deepcopy(self)
        for name, part in (*every._asdict().items(), ("noise", values), ("alpha", values)):
            setattr(process, name, part.new_zeros(len(every.live), *part.shape[1:]))
        process.condition(
            every, torch.cat([known, values]), torch.cat([uncertain, deviations]), self.log_parameters
        )
        return process

    def _values(self, covariance: Tensor) -> Tensor:
        values: Tensor = covariance @ self.alpha * self.sd + self.mean
        return values

    @torch.no_grad()
    def with_interval(self, features: Features) -> tuple[Tensor, Tensor]:
        """Expected values, and half of the 90 % interval of a new measurement: (n,) each, same unit.

        Factorises a matrix as large as the number of measurements: not for inner loops.
        """
        factor = torch.linalg.cholesky(_noisy(self.features, self.noise, self.log_parameters))
        covariance = kernel(features, self.features, self.log_parameters)
        values = self._values(covariance)
        explained = torch.linalg.solve_triangular(factor, covariance.T, upper=False).square().sum(0)
        variance = (_kernel_diagonal(features, self.log_parameters) - explained).clamp(min=0)
        noise = _noise_weights(values, self.mean) * _noise_variance(self.log_parameters)
        return values, self.quantile * (variance + noise).sqrt() * self.sd

    @torch.no_grad()
    def condition(
        self, features: Features, values: Tensor, deviations: Tensor, log_parameters: Tensor
    ) -> None:
        """Take in measurements under given hyperparameters and calibrate the interval on them.

        `deviations`: the known standard deviation of each value, (n,), in their unit.

        The width of the interval is set so that 90 % of the measurements, each predicted from all others
        (closed form: Rasmussen and Williams, 5.4.2), lie inside.
        """
        self.mean.copy_(values.mean())
        self.sd.copy_(_spread(values))
        for own, given in zip(self.features, features, strict=True):
            own.copy_(given)
        self.log_parameters.copy_(log_parameters)
        known = (deviations / self.sd).square() / _noise_variance(log_parameters)
        self.noise.copy_(_noise_weights(values, self.mean) + known)
        inverse = torch.linalg.inv(_noisy(self.features, self.noise, log_parameters))
        self.alpha.copy_(inverse @ ((values - self.mean) / self.sd))
        scores = (self.alpha.abs() / inverse.diagonal().sqrt()).sort().values
        rank = math.ceil(0.9 * (len(scores) + 1))  # split conformal: rank among n + 1
        # Too few measurements to see a 90 % quantile: the largest residual, but no less than the normal one.
        self.quantile.copy_(scores[rank - 1] if rank <= len(scores) else scores[-1].clamp(NORMAL_QUANTILE))


def _noise_weights(values: Tensor, mean: Tensor) -> Tensor:
    return (values / mean).square().clamp(min=0.01)


def _noise_variance(log_parameters: Tensor) -> Tensor:
    return log_parameters[1].clamp(*_LOG_RANGE).exp() + _NOISE_FLOOR


def _noisy(features: Features, weights: Tensor, log_parameters: Tensor) -> Tensor:
    noise = torch.diag(weights * _noise_variance(log_parameters))
    return kernel(features, features, log_parameters) + noise


def _spread(values: Tensor) -> Tensor:
    # A device that shows no difference at all (whole-unit ticks) must not divide by zero.
    return values.std(correction=0).clamp(min=1e-3 * float(values.mean()))


def fit_gaussian_process(
    space: Space, onehot: Tensor, values: Tensor, deviations: Tensor | None = None, *, seed: int = 0
) -> GaussianProcess:
    """Fit one device.

    Args:
        onehot: architectures, (n, width), n >= 2.
        values: their measurements, (n,), positive, any unit.
        deviations: standard deviation of each, (n,), same unit, as far as it is known; it comes on top of
            the noise that all of them have.
        seed: picks the rows that the hyperparameters are found on when there are more than 200.
    """
    everything, values = Features.of(space, onehot), values.double()
    deviations = torch.zeros_like(values) if deviations is None else deviations.double()
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))[:_FIT_LIMIT]
    features = everything.rows(order)
    weights = _noise_weights(values[order], values.mean())
    targets = (values[order] - values.mean()) / _spread(values)
    known = (deviations[order] / _spread(values)).square()
    start = torch.tensor(_START, dtype=torch.float64)
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([point], max_iter=60, line_search_fn="strong_wolfe")

    def negative_log_posterior() -> float:
        optimiser.zero_grad()
        factor = torch.linalg.cholesky(_noisy(features, weights, point) + torch.diag(known))
        whitened = torch.linalg.solve_triangular(factor, targets.unsqueeze(1), upper=False)
        loss = whitened.square().sum() / 2 + factor.diagonal().log().sum()
        loss = loss + ((point - start) / _PRIOR_SD).square().sum() / 2
        torch.autograd.backward(loss)
        return float(loss.detach())

    optimiser.step(negative_log_posterior)  # type: ignore[no-untyped-call]
    process = GaussianProcess(space, len(values))
    process.condition(everything, values, deviations, point.detach())
    return process
