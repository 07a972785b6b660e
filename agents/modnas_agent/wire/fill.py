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


def fill_values(
    count: int, dtype: str = "float32", limits: tuple[float, float] | None = None
) -> np.ndarray[Any, Any]:
    """The flat input array, from least to greatest value: by default -1 to 1, 0 to 99 for whole numbers.

    With h the hash above, least + (greatest - least) * h / 2**32 for floats (rounded to float32 first, so
    that every board agrees), least + h mod (greatest - least + 1) for whole numbers and bool.
    """
    import numpy as np

    hashed = hash_values(count)
    if dtype.startswith("float"):
        least, greatest = limits or (-1.0, 1.0)
        return (least + (greatest - least) * (hashed / 2.0**32)).astype(np.float32).astype(dtype)
    low, high = (int(limit) for limit in limits or ((0, 1) if dtype == "bool" else (0, 99)))
    return (low + (hashed % np.uint64(high - low + 1)).astype(np.int64)).astype(dtype)


def fill_inputs(specs: Sequence[InputSpec]) -> dict[str, np.ndarray[Any, Any]]:
    """One filled array for every input, by name."""
    import numpy as np

    return {
        spec.name: fill_values(int(np.prod(spec.shape, dtype=np.int64)), spec.dtype, spec.limits).reshape(
            spec.shape
        )
        for spec in specs
    }
