"""Inputs for compiled code, which reads whole vectors."""

from __future__ import annotations

import numpy as np
import pytest
from modnas_agent.backends.tvm import ALIGNMENT, aligned


@pytest.mark.parametrize("shape", [(1,), (1, 3, 5), (7, 11), (1, 1, 24, 24)])
@pytest.mark.parametrize("dtype", ["float32", "int8", "float64"])
def test_a_copy_is_equal_and_where_vectors_can_be_read(shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    copies = [aligned(array) for _ in range(5)]
    for copy in copies:
        assert copy.ctypes.data % ALIGNMENT == 0 and copy.flags.c_contiguous
        assert copy.dtype == array.dtype
        np.testing.assert_array_equal(copy, array)
