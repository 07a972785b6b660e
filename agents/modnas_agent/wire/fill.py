"""Inputs that are bit-identical on the host and on every board, without being sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec

#: Knuth's multiplier for hashing: 2**32 divided by the golden ratio, made odd.
MULTIPLIER = 2654435761


def hash_values(count: int) -> np.ndarray[Any, Any]:
    """`(i * 2654435761) mod 2**32` for i = 0 … count-1, as uint64."""
    import numpy as np

    return (np.arange(count, dtype=np.uint64) * np.uint64(MULTIPLIER)) % np.uint64(2**32)


def fill_values(count: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """The flat input array: with h the hash above, h / 2**31 - 1 in [-1, 1) for floats (rounded to float32
    first, so that every board agrees), h mod 100 for integers, h mod 2 for bool.
    """
    import numpy as np

    hashed = hash_values(count)
    if dtype.startswith("float"):
        return (hashed / 2.0**31 - 1.0).astype(np.float32).astype(dtype)
    return (hashed % np.uint64(2 if dtype == "bool" else 100)).astype(dtype)


def fill_inputs(specs: Sequence[InputSpec]) -> dict[str, np.ndarray[Any, Any]]:
    """One filled array for every input, by name."""
    import numpy as np

    return {
        spec.name: fill_values(int(np.prod(spec.shape, dtype=np.int64)), spec.dtype).reshape(spec.shape)
        for spec in specs
    }
