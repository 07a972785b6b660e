"""What a network is fed: names, shapes, types and ranges of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from modnas.core.errors import InputError

# Type of an input -> the least and the greatest value that it may be given. Readers of JSON agree on whole
# numbers up to 2**53 only.
LIMITS: dict[str, tuple[float, float]] = {
    "float16": (-65504.0, 65504.0),
    "float32": (-3.4e38, 3.4e38),
    "float64": (-3.4e38, 3.4e38),
    "bool": (0, 1),
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**53), 2**53),
}


class InputSpecError(InputError, ValueError):
    """An input that cannot be: an unknown type, no shape, a range that its type does not have."""


@dataclass(frozen=True)
class InputSpec:
    """One input of a network.

    Attributes:
        name: of the input in exported graphs; in a module the order counts.
        shape: without the batch dimension, which every input has as its first (but see `batched`).
        dtype: one of `LIMITS`.
        range: least and greatest value that makes sense, both included: whole numbers but for floats. None:
            -1 to 1, of whole numbers 0 to 99. What is fed where no data are is spread over it.

    Raises:
        InputSpecError: no such input can be.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise InputSpecError("an input has no name; give it one")
        if not all(type(size) is int and size > 0 for size in self.shape):
            raise InputSpecError(f"input {self.name}: its shape is positive whole numbers, not {self.shape}")
        if self.dtype not in LIMITS:
            raise InputSpecError(f"input {self.name}: no type {self.dtype!r}; known: {', '.join(LIMITS)}")
        if self.range is not None:
            self._check_range(*self.range)

    def _check_range(self, low: float, high: float) -> None:
        least, greatest = LIMITS[self.dtype]
        whole = self.dtype.startswith("float") or (type(low) is int and type(high) is int)
        if not (math.isfinite(low) and least <= low <= high <= greatest and whole):
            raise InputSpecError(f"input {self.name}: from {low} to {high} is no range of {self.dtype}")

    def batched(self, batch: int) -> InputSpec:
        """The input for so many items at once: its shape with the batch dimension."""
        return replace(self, shape=(batch, *self.shape))
