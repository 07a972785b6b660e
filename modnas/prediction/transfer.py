"""From learned devices to one that is known by a few measurements.

A Gaussian process whose covariance is a sum: a combination of learned devices that is followed, products of
what all of them say, prices of what the space says of an architecture, and a smooth function of it. How much
of each is not known: many settings (see `hypotheses`) predict, each counts by the evidence of the
measurements under it. Noise is relative, as in `gaussian_process`, and what is known of a value's own
uncertainty is added. Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from modnas.prediction.gaussian_process import Features, smooth
from modnas.prediction.hypotheses import Hypotheses, draw

_CONSTANT = 1.0
_LENGTH = 1.0  # of the smooth function, where architectures are 1 from their mean on average
_SMALLEST_NOISE = 0.1  # of a measurement, relative to that of one of average value
_JITTER = 1e-6
_KEPT = 48  # hypotheses, the most credible


class View(NamedTuple):
    """n architectures as the transfer sees them: standardised over the space (see `Standard`).

    Attributes:
        learned: what the learned devices say, (n, T).
        live, chosen, counts: see `gaussian_process.Features`.
    """

    learned: Tensor
    live: Tensor
    chosen: Tensor
    counts: Tensor

    def without(self, device: int) -> View:
        """As if a learned device were not known."""
        kept = [t for t in range(self.learned.shape[1]) if t != device]
        return self._replace(learned=self.learned[:, kept])


class Standard(NamedTuple):
    """Means and scales over a sample of the space.

    Learned devices get unit variance each, groups of features unit mean squared norm.
    """

    means: View
    scales: View

    @classmethod
    def of(cls, learned: Tensor, features: Features) -> Standard:
        """Of a sample: what the learned devices say of it (n, T), and its features."""
        parts = View(learned, *features)
        means = View(*(part.mean(0) for part in parts))
        groups = [(p - m).square().sum(1).mean().sqrt() for p, m in zip(parts[1:], means[1:], strict=True)]
        scales = View(learned.std(0, correction=0), *groups)
        return cls(means, View(*(scale.where(scale > 1e-12, torch.ones_like(scale)) for scale in scales)))

    def view(self, learned: Tensor, features: Features) -> View:
        """Standardise n architectures, differentiable in all."""
        given = (learned, *features)
        return View(*((part - m) / s for part, m, s in zip(given, self.means, self.scales, strict=True)))


class Transfer:
    """What is believed of a device after its measurements.

    Args:
        seen: the S architectures measured.
        values: (S,), positive, in any unit.
        deviations: known standard deviation of each value, same unit, (S,); 0 where none is known.
        correlation: between the learned devices over the space, (T, T).
    """

    def __init__(self, seen: View, values: Tensor, deviations: Tensor, correlation: Tensor) -> None:
        self.seen, self.mean = seen, values.mean()
        self.sd = values.std(correction=0).clamp(min=1e-3 * float(self.mean))
        targets = (values - self.mean) / self.sd
        everything = draw(_agreement(seen.learned, targets), correlation, len(values))
        noise = everything.noise.unsqueeze(1) * self._relative(values) + (deviations / self.sd).square()
        covariance = _covariance(everything, seen, seen)
        factor = torch.linalg.cholesky(covariance + torch.diag_embed(noise + _JITTER))
        whitened = torch.linalg.solve_triangular(
            factor, targets.expand(len(factor), -1).unsqueeze(2), upper=False
        )
        evidence = -whitened.square().sum((1, 2)) / 2 - factor.diagonal(dim1=1, dim2=2).log().sum(1)
        best = evidence.topk(min(_KEPT, len(evidence))).indices
        self.hypotheses, self.belief = everything.rows(best), evidence[best].softmax(0)
        self.factor, self.whitened = factor[best], whitened[best]
        self._collapse()

    def _relative(self, values: Tensor) -> Tensor:
        relative: Tensor = (values / self.mean).square().clamp(min=_SMALLEST_NOISE)
        return relative

    def _collapse(self) -> None:
        """The expected value of all hypotheses together is one linear function and one smooth one."""
        known, seen = self.hypotheses, self.seen
        solved = torch.linalg.solve_triangular(self.factor.mT, self.whitened, upper=True).squeeze(2)
        solved = solved * self.belief.unsqueeze(1)  # (H, S)
        self.constant = _CONSTANT * solved.sum()
        by_share = known.shares.mT @ solved  # (5, S)
        slopes = known.lead * torch.einsum("ht,st,hs->h", known.leads, seen.learned, solved)
        count = max(1, seen.learned.shape[1])
        self.weights = View(
            slopes @ known.leads + by_share[0] @ seen.learned / count,
            *(share @ part for share, part in zip(by_share[1:4], seen[1:], strict=True)),
        )
        self.smooth = by_share[4]

    def values(self, view: View) -> Tensor:
        """Expected values, (n,), in the unit of what was measured; differentiable in the view."""
        linear = sum(part @ weights for part, weights in zip(view, self.weights, strict=True))
        curved = smooth(view.live, self.seen.live, view.live.new_tensor(_LENGTH)) @ self.smooth
        result: Tensor = (self.constant + linear + curved) * self.sd + self.mean
        return result

    def deviations(self, view: View) -> Tensor:
        """Standard deviation of a measurement of each architecture, (n,), before calibration."""
        known, belief = self.hypotheses, self.belief
        explained, expected = self._explained(view)
        variance = (_variance(known, view) - explained.square().sum(1)).clamp(min=0)
        spread = belief @ (variance + (expected - belief @ expected).square())
        noise = (belief @ known.noise) * self._relative(self.values(view))
        deviations: Tensor = (spread + noise).sqrt() * self.sd
        return deviations

    def uncertainty(self, view: View) -> tuple[Tensor, Tensor]:
        """Covariance of the noise-free values, (n, n), and variance of each measurement's noise, (n,); in
        units of the variance of what was measured."""
        known, belief = self.hypotheses, self.belief
        explained, expected = self._explained(view)
        apart = (expected - belief @ expected) * belief.sqrt().unsqueeze(1)
        covariance = torch.einsum(
            "h,hij->ij", belief, _covariance(known, view, view) - explained.mT @ explained
        )
        noise = (belief @ known.noise) * self._relative(self.values(view))
        return covariance + apart.mT @ apart, noise

    def _explained(self, view: View) -> tuple[Tensor, Tensor]:
        """What the measurements explain of each architecture, (H, S, n), and expected values, (H, n)."""
        cross = _covariance(self.hypotheses, self.seen, view)
        explained = torch.linalg.solve_triangular(self.factor, cross, upper=False)
        return explained, (explained * self.whitened).sum(1)


def _agreement(learned: Tensor, targets: Tensor) -> Tensor:
    """Correlation of the S targets with each column, (T,)."""
    centred = learned - learned.mean(0)
    scale = centred.norm(dim=0) * (targets - targets.mean()).norm()
    agreement: Tensor = (targets - targets.mean()) @ centred / scale.clamp(min=1e-12)
    return agreement


def _covariance(known: Hypotheses, a: View, b: View) -> Tensor:
    """Prior covariance of the noise-free values under each hypothesis: (H, n, m)."""
    count = max(1, a.learned.shape[1])
    parts = [part @ other.T for part, other in zip(a, b, strict=True)]
    curved = smooth(a.live, b.live, a.live.new_tensor(_LENGTH))
    sums = torch.einsum("hp,pnm->hnm", known.shares, torch.stack([parts[0] / count, *parts[1:], curved]))
    following = (known.leads @ a.learned.T).unsqueeze(2) * (known.leads @ b.learned.T).unsqueeze(1)
    return _CONSTANT + sums + known.lead[:, None, None] * following


def _variance(known: Hypotheses, view: View) -> Tensor:
    """The diagonal of `_covariance` of a view with itself: (H, n)."""
    count = max(1, view.learned.shape[1])
    squares = [part.square().sum(1) for part in view]
    parts = torch.stack([squares[0] / count, *squares[1:], torch.ones_like(squares[0])])
    following = (known.leads @ view.learned.T).square()
    return _CONSTANT + known.shares @ parts + known.lead.unsqueeze(1) * following


def most_telling(covariance: Tensor, noise: Tensor, count: int) -> list[int]:
    """Which of n candidates to measure so that the uncertainty of all falls most, greedily.

    Args:
        covariance: of the candidates' values, (n, n).
        noise: variance of each one's measurement, (n,).

    Source: Seo et al., "Gaussian Process Regression: Active Data Selection and Test Point Rejection", 2000.
    """
    found: list[int] = []
    for _ in range(min(count, len(noise))):
        gain = covariance.square().sum(0) / (covariance.diagonal() + noise)
        gain[found] = -1
        best = int(gain.argmax())
        found.append(best)
        column = covariance[:, best].clone()
        covariance = covariance - torch.outer(column, column) / (column[best] + noise[best])
    return found
