"""A device's vector: scaled to its own references, metric by metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modnas.prediction.device_vectors import checked_references, device_vector, known_device, scale_references

RAW = np.array([4.0, 2.0, 3.0, 6.0])


def test_every_metric_is_scaled_by_itself() -> None:
    vector = device_vector([RAW, 1000 * RAW[::-1]])
    assert vector.dtype == torch.float32
    assert vector.tolist() == [0.5, 0.0, 0.25, 1.0, 1.0, 0.25, 0.0, 0.5]


def test_rows_are_scaled_by_themselves() -> None:
    values, low, span = scale_references(torch.tensor(np.stack([RAW, 10 * RAW])))
    assert values.tolist() == [[0.5, 0.0, 0.25, 1.0]] * 2
    assert (low.tolist(), span.tolist()) == ([2.0, 20.0], [4.0, 40.0])


def test_equal_measurements_are_zeros() -> None:
    assert device_vector([[3.0, 3.0, 3.0]]).tolist() == [0.0, 0.0, 0.0]


def test_a_known_device_can_be_scaled_back() -> None:
    vector, low, span = known_device("it", RAW, 4)
    assert (vector.double() * span + low).numpy() == pytest.approx(RAW)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, 2.0, 3.0, -4.0], [1.0, 2.0, 3.0, np.nan], [2.0] * 4])
def test_what_describes_no_device(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="it: "):
        checked_references("it", wrong, 4)
