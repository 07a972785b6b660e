import math

import pytest
import torch
from torch import nn

from modnas.search.objectives import apply_constraints, scalarise
from modnas.tasks.weight_sharing import SupernetworkLoss


def test_scalarised_loss_is_the_weighted_sum_minus_the_cosine():
    objectives, preferences = torch.tensor([[0.3, 0.4], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    torch.testing.assert_close(scalarise(objectives, preferences, 0.0), torch.tensor([0.35, 0.2]))
    cosines = torch.tensor([0.35 / (0.5 * math.sqrt(0.5)), 0.2 / math.sqrt(0.68)])
    torch.testing.assert_close(
        scalarise(objectives, preferences, 0.1), torch.tensor([0.35, 0.2]) - 0.1 * cosines
    )


def test_the_cosine_does_not_blow_up_at_the_ideal_point():
    objectives = torch.tensor([[0.0, 0.0], [1e-6, 0.0]], requires_grad=True)
    scalarise(objectives, torch.full((2, 2), 0.5), 0.001).sum().backward()
    assert (objectives.grad - 0.5).abs().max() < 0.11


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        ((), [[1, 1], [1, 1], [1, 1]]),
        ((0.3, None), [[0, 1], [1, 1], [1, 1]]),
        ((0.0, 0.5), [[1, 0], [1, 1], [1, 0]]),
        ((1.0, 1.0), [[0, 0], [0, 0], [0, 0]]),
    ],
)
def test_a_satisfied_prior_stops_the_gradient_only(constraints, expected):
    metrics = torch.tensor([[0.1, 0.2], [0.4, 0.8], [0.9, 0.5]], requires_grad=True)
    limited = apply_constraints(metrics, constraints)
    assert torch.equal(limited, metrics)
    (found,) = torch.autograd.grad((limited + 0 * metrics).sum(), metrics)
    assert found.tolist() == expected


class _Chosen(nn.Module):
    """Outputs the class that the sample names, whatever the input."""

    def forward(self, inputs, sample):
        assert not self.training
        return sample.expand(len(inputs), -1)


def test_error_is_the_percentage_missed():
    batches = [(torch.zeros(3, 1), torch.tensor([0, 1, 2])), (torch.zeros(2, 1), torch.tensor([1, 1]))]
    network = _Chosen().train()
    task_loss = SupernetworkLoss(network, batches)
    assert task_loss.error(torch.tensor([0.0, 1.0, 0.0])) == pytest.approx(40)
    assert task_loss.error(torch.tensor([0.0, 0.0, 1.0])) == pytest.approx(80)
    assert network.training
