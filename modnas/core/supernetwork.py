"""What every weight-sharing network offers to the search."""

from __future__ import annotations

from torch import Tensor, nn

from modnas.core.architecture import Architecture
from modnas.core.errors import InputError


class NoSupernetworkError(InputError):
    """A supernetwork was asked for of a space that has none: its networks can only be trained one by one."""

    def __init__(self, space: str) -> None:
        super().__init__(
            f"space {space} has no supernetwork; have networks trained instead, with --accuracy surrogate"
        )


class Supernetwork(nn.Module):
    """A weight-sharing network over a whole space.

    `counterfactual`: when a gradient by the sample is asked for, execute the operators that were not chosen
    too, without their own gradients: then each entry's gradient says what choosing that operator instead
    would do, for about twice the time.
    """

    counterfactual: bool = False

    def forward(self, inputs: Tensor, sample: Tensor) -> Tensor:
        """Run one architecture.

        Args:
            inputs: a batch of the task's inputs.
            sample: shape (width,), the concatenated one-hot rows of an architecture. Only the chosen
                operators are executed (but see `counterfactual`).

        Returns:
            The network's output for that architecture, e.g. logits of shape (batch, classes).
        """
        raise NotImplementedError

    def extract(self, architecture: Architecture) -> nn.Module:
        """The standalone network of an architecture with the weights that are shared here.

        Its normalisation statistics are not fitted to it (see `modnas.accuracy.training.recalibrate`). Raises
        NotImplementedError where weights cannot be taken out.
        """
        raise NotImplementedError(f"{type(self).__name__} has no weights for standalone networks")
