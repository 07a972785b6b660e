"""The accuracy surrogate and the features it is built on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modnas.accuracy.surrogate import fit_surrogate
from modnas.core.task import BatchedTaskLoss
from modnas.spaces.nasbench201.space import CONV1, CONV3, NONE, POOL, SKIP, NasBench201
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

SPACE = NasBench201()
GAINS = np.array([0.1, 0.6, 1.0, 0.2])


def made_up_error(architectures):
    """Falls with the live operators from 60 % towards 5 %."""
    counts = SPACE.predictor_features(SPACE.encode(architectures))[:, 24:28].numpy()
    return 5 + 55 * np.exp(-0.5 * counts @ GAINS)


@pytest.fixture(scope="module")
def surrogate():
    known = SPACE.sample(150, torch.Generator().manual_seed(0))
    return fit_surrogate(SPACE, known, made_up_error(known), chance=90.0)


def test_errors_of_unseen_cells(surrogate):
    cells = SPACE.sample(300, torch.Generator().manual_seed(1))
    with torch.no_grad():
        guess = surrogate(SPACE.encode(cells)).numpy()
    assert np.abs(guess / made_up_error(cells) - 1).mean() < 0.05


def test_a_blind_cell_has_the_error_of_guessing(surrogate):
    blind = SPACE.encode([SPACE.architecture((NONE,) * 6), SPACE.architecture((CONV3, 0, 0, 0, 0, 0))])
    assert [surrogate.error(row) for row in blind] == pytest.approx([90, 90], rel=0.1)


def test_loss_losses_and_error_agree_and_have_a_gradient(surrogate):
    assert isinstance(surrogate, BatchedTaskLoss)
    assert not isinstance(SupernetworkLoss(None, []), BatchedTaskLoss)
    samples = SPACE.encode(SPACE.sample(4, torch.Generator().manual_seed(2))).requires_grad_()
    together = surrogate.losses(samples, None)
    assert together.tolist() == pytest.approx(
        [float(surrogate.loss(s, None).detach()) for s in samples], rel=1e-5
    )
    assert together.tolist() == pytest.approx([surrogate.error(s) for s in samples], rel=1e-5)
    (slope,) = torch.autograd.grad(together.sum(), samples)
    by_operator = slope.view(4, 6, 5).mean((0, 1))
    assert by_operator[CONV3] < by_operator[SKIP] < 0  # a convolution lowers the error more


def test_the_state_is_the_model(surrogate):
    copy = type(surrogate)(SPACE, len(surrogate.onehot))
    copy.load_state_dict(surrogate.state_dict())
    samples = SPACE.encode(SPACE.sample(5, torch.Generator().manual_seed(3)))
    assert torch.equal(copy(samples), surrogate(samples))


@pytest.mark.parametrize(
    ("errors", "message"), [([5.0], "positive errors"), ([5.0, 0.0, 3.0], "positive errors")]
)
def test_errors_that_cannot_be(errors, message):
    cells = SPACE.sample(3, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=message):
        fit_surrogate(SPACE, cells, errors, chance=90.0)


def test_two_usable_architectures_are_needed():
    blind = [SPACE.architecture((op, 0, 0, 0, 0, 0)) for op in (CONV1, CONV3)]
    with pytest.raises(ValueError, match="at least two"):
        fit_surrogate(SPACE, blind, [90.0, 90.0], chance=90.0)


CELLS = st.tuples(*[st.integers(0, 4)] * 6).map(SPACE.architecture)


@given(CELLS)
def test_sequences_of_operators_counted_one_by_one(cell):
    edges = dict(zip(((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)), cell.choices, strict=True))
    sequences = [s for n in range(4) for s in itertools.product((CONV1, CONV3, POOL), repeat=n)]
    expected = [0] * 40
    for path in ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)):
        ops = [edges[pair] for pair in itertools.pairwise(path)]
        if NONE not in ops:
            expected[sequences.index(tuple(op for op in ops if op != SKIP))] += 1
    assert SPACE.function_features(SPACE.encode([cell]))[0].tolist() == expected


@given(CELLS)
def test_dead_operators_do_not_change_the_function(cell):
    both = SPACE.function_features(SPACE.encode([cell, SPACE.simplified(cell)]))
    assert torch.equal(both[0], both[1])
