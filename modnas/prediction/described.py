"""A device that was not measured often enough to speak for itself, predicted from the learned ones too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.prediction.gaussian_process import Features, GaussianProcess
from modnas.prediction.transfer import Standard, Transfer, View

# Measurements after which the second calibration holds.
MANY = 20
_REFERENCES = 10


class Seen(NamedTuple):
    """S architectures measured: their features, values and the values' known standard deviations, (S,)."""

    features: Features
    values: Tensor
    deviations: Tensor

    def rows(self, chosen: Tensor) -> Seen:
        """Some of them."""
        return Seen(self.features.rows(chosen), self.values[chosen], self.deviations[chosen])

    def besides(self, others: Seen) -> Seen:
        """Without measurements that are among the others: the same value of the same architecture."""
        own, known = torch.cat(self.features, dim=1), torch.cat(others.features, dim=1)
        same = (own.unsqueeze(1) == known).all(2)
        same = same & torch.isclose(self.values.unsqueeze(1), others.values, rtol=1e-6)
        return self.rows(~same.any(1))

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """One after the other."""
        features, values, deviations = zip(*parts, strict=True)
        joined = Features(*map(torch.cat, zip(*features, strict=True)))
        return cls(joined, torch.cat(values), torch.cat(deviations))


class Learned:
    """The regressions of the learned devices, and the scales that they are compared on.

    Args:
        processes: of T devices.
        sample: features of architectures that stand for the space.
    """

    def __init__(self, processes: Sequence[GaussianProcess], sample: Features) -> None:
        self.processes = processes
        with torch.no_grad():
            said = self.say(sample)
            self.standard = Standard.of(said, sample)
            view = self.standard.view(said, sample)
            self.correlation = view.learned.mT @ view.learned / len(said)

    def say(self, features: Features, members: Sequence[int] | None = None) -> Tensor:
        """What the devices' regressions say, in their units: (n, T); 0 for those that are no `members`."""
        used = range(len(self.processes)) if members is None else members
        columns = {t: self.processes[t](features) for t in used}
        nothing = features.live.new_zeros(len(features.live))
        return torch.stack([columns.get(t, nothing) for t in range(len(self.processes))], dim=1)

    def view(self, features: Features, members: Sequence[int]) -> View:
        """Architectures as a device sees them that knows the `members` only."""
        view = self.standard.view(self.say(features, members), features)
        return view._replace(learned=view.learned[:, list(members)])


class DescribedDevice:
    """A device known by its measurements and by learned devices.

    Args:
        members: the learned devices that may be used.
        seen: what was measured on it.
        quantile: half-widths of the 90 % interval, in standard deviations, after the references and after
            `MANY` measurements: (2,).
    """

    def __init__(
        self,
        learned: Learned,
        members: Sequence[int],
        seen: Seen,
        quantile: Tensor,
    ) -> None:
        self.learned, self.members = learned, list(members)
        with torch.no_grad():
            correlation = learned.correlation[self.members][:, self.members]
            view = learned.view(seen.features, self.members)
            self.transfer = Transfer(view, seen.values, seen.deviations, correlation)
        further = min(1.0, max(0.0, (len(seen.values) - _REFERENCES) / (MANY - _REFERENCES)))
        self.quantile = quantile[0] + further * (quantile[1] - quantile[0])

    def __call__(self, features: Features) -> Tensor:
        """Expected values (n,), differentiable in the features."""
        return self.transfer.values(self.learned.view(features, self.members))

    def with_interval(self, features: Features) -> tuple[Tensor, Tensor]:
        """Expected values, and half of the 90 % interval of a measurement: (n,) each."""
        view = self.learned.view(features, self.members)
        return self.transfer.values(view), self.quantile * self.transfer.deviations(view)

    def uncertainty(self, features: Features) -> tuple[Tensor, Tensor]:
        """See `Transfer.uncertainty`."""
        return self.transfer.uncertainty(self.learned.view(features, self.members))
