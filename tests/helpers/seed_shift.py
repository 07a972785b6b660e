"""Other seeds for all tests, to see whether what a test asserts of a training holds for more than one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_STEP = 7919  # so that shifted seeds are not those that another test has


def shift_seeds(shift: int) -> None:
    """From now on every seed that a generator of PyTorch or NumPy is given becomes another, fixed by `shift`.

    Also those that the tests' subjects choose themselves; 0 leaves all as they are.
    """
    if not shift:
        return
    plain_generator, plain_seed, plain_rng = torch.Generator, torch.manual_seed, np.random.default_rng

    class Generator(plain_generator):  # type: ignore[misc,valid-type]
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed((seed + _STEP * shift) % 2**63)

    def manual_seed(seed: int) -> torch.Generator:
        return plain_seed(seed + _STEP * shift)

    def default_rng(seed: Any = None) -> np.random.Generator:
        return plain_rng(seed + _STEP * shift if isinstance(seed, int) else seed)

    torch.Generator = Generator  # type: ignore[misc]
    torch.manual_seed = manual_seed
    np.random.default_rng = default_rng
