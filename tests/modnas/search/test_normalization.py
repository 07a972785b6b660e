import pytest
import torch

from modnas.search.normalization import RunningRange, min_max


def test_min_max_scales_each_metric_and_keeps_its_gradient():
    values = torch.tensor([[1.0, 20.0], [3.0, 40.0], [5.0, 10.0]], requires_grad=True)
    scaled = min_max(values, torch.tensor([1.0, 20.0]), torch.tensor([5.0, 40.0]))
    torch.testing.assert_close(scaled, torch.tensor([[0.0, 0.0], [0.5, 1.0], [1.0, -0.5]]))
    scaled.sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[0.25, 0.05]] * 3))


def test_a_metric_that_never_varies_is_only_shifted():
    assert min_max(torch.tensor([7.0]), torch.tensor([7.0]), torch.tensor([7.0])).tolist() == [0.0]


def test_running_range_widens_and_forgets():
    span = RunningRange()
    with pytest.raises(ValueError, match="must see a value"):
        span.normalise(torch.tensor(1.0))
    span.update(torch.tensor([2.0, 4.0]))
    assert span.normalise(torch.tensor([2.0, 3.0, 4.0])).tolist() == [0.0, 0.5, 1.0]
    span.update(torch.tensor(0.0))
    assert span.normalise(torch.tensor([2.0, 3.0])).tolist() == [0.5, 0.75]
    span.reset()
    span.update(torch.tensor([10.0, 20.0]))
    assert span.normalise(torch.tensor(15.0)).item() == 0.5
