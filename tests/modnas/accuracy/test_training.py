"""Training standalone networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modnas.accuracy.training import TrainingError, seeded_network, train
from modnas.spaces.nasbench201 import NasBench201
from modnas.tasks import get_task

pytestmark = pytest.mark.trains

SPACE = NasBench201(channels=4, cells=1, input_shape=(1, 8, 8))
CELL = SPACE.architecture((0, 0, 0, 3, 0, 0))


@pytest.fixture(scope="module")
def digits():
    return get_task("digits")


def quick(digits, seed=0, **settings):
    return train(seeded_network(SPACE, CELL, seed), digits, **{"epochs": 2, "seed": seed, **settings})


def test_training_learns(digits):
    network = seeded_network(SPACE, CELL, 0)
    before = digits.test_error(network)
    seen = []
    result = train(network, digits, epochs=5, seed=0, progress=lambda epoch, loss: seen.append((epoch, loss)))
    assert before > 70
    assert result.error < 20
    assert result.error == digits.test_error(network)
    assert len(result.losses) == 5
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert seen == list(enumerate(result.losses, start=1))
    assert result.seconds > 0


def test_training_is_deterministic_and_depends_on_the_seed(digits):
    first, again, other = quick(digits), quick(digits), quick(digits, seed=1)
    assert (first.error, first.losses) == (again.error, again.losses)
    assert first.losses != other.losses


def test_training_leaves_the_global_generator_alone(digits):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    quick(digits, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_setting_has_an_effect(digits):
    base = quick(digits)
    for settings in (
        {"batch_size": 100},
        {"learning_rate": 0.05},
        {"weight_decay": 0.05},
        {"label_smoothing": 0.1},
        {"augment": False},
        {"splits": ("train",)},
    ):
        assert quick(digits, **settings).losses != base.losses, settings


def test_the_test_split_does_not_influence_training(digits):
    blank = digits.to("cpu")
    blank.test.inputs.data = torch.zeros_like(blank.test.inputs)
    assert quick(blank, epochs=1).losses == quick(get_task("digits"), epochs=1).losses


def test_no_epochs_test_the_network_as_it_is(digits):
    network = seeded_network(SPACE, CELL, 0)
    expected = digits.test_error(network)
    result = train(network, digits, epochs=0)
    assert result.losses == []
    assert result.error == expected


def test_a_diverging_training_is_an_error(digits):
    class Exploding(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x):
            return self.layer(x.flatten(1)) * float("inf")

    with pytest.raises(TrainingError, match="digits is nan in epoch 1: lower the learning rate"):
        train(Exploding(), digits, epochs=3)


def test_error_on_test_weighs_unequal_batches(digits):
    class Constant(nn.Module):
        def forward(self, x):
            return nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 10).float()

    expected = 100 * float((digits.test.targets != 0).float().mean())
    assert digits.test_error(Constant(), batch_size=500) == pytest.approx(expected)
