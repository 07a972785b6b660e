"""Min-max normalisation of objectives before they are weighed against each other."""

from __future__ import annotations

import math

from torch import Tensor


def min_max(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(values - low) / (high - low), elementwise with broadcasting; a range of zero width counts as one.

    Differentiable in `values`. Values outside the range map outside [0, 1]: a clamp would have no gradient.
    """
    width = high - low
    return (values - low) / width.where(width > 0, width.new_ones(()))


class RunningRange:
    """Smallest and largest value seen since the last reset; used for the task loss within an epoch."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self.low, self.high = math.inf, -math.inf

    @property
    def known(self) -> bool:
        """Whether a value was seen since the last reset."""
        return self.low <= self.high

    def update(self, values: Tensor) -> None:
        """Take in values of any shape."""
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def normalise(self, values: Tensor) -> Tensor:
        """Values seen so far map into [0, 1]. Differentiable. Raises ValueError before the first update."""
        if not self.known:
            raise ValueError("a running range must see a value before it can normalise one")
        return min_max(values, values.new_tensor(self.low), values.new_tensor(self.high))
