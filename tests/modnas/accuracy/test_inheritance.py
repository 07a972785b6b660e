"""Networks that start from another one's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modnas.accuracy.inheritance import Lineage, inherit
from modnas.accuracy.training import seeded_network
from modnas.baselines import Problem, get_method
from modnas.spaces.nasbench201 import NasBench201
from modnas.spaces.nasbench201.space import CONV1, CONV3
from modnas.tasks import get_task

pytestmark = pytest.mark.trains

SPACE = NasBench201(channels=4, cells=1, input_shape=(1, 8, 8))
SMALL = SPACE.architecture((0, 0, 0, CONV1, 0, 0))
LARGE = SPACE.architecture((0, 0, 0, CONV3, 0, 0))


@pytest.fixture(scope="module")
def digits():
    return get_task("digits")


def test_a_kernel_that_grows_computes_the_same_and_one_that_shrinks_keeps_its_middle():
    small, large = seeded_network(SPACE, SMALL, 0).eval(), seeded_network(SPACE, LARGE, 1).eval()
    inputs = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(small(inputs), large(inputs), atol=1e-3)
        assert inherit(large, small.state_dict()) == len(large.state_dict())
        torch.testing.assert_close(large(inputs), small(inputs))
        back = seeded_network(SPACE, SMALL, 2).eval()
        inherit(back, large.state_dict())
        torch.testing.assert_close(back(inputs), small(inputs))


def test_what_has_no_counterpart_starts_anew():
    other = SPACE.architecture((CONV3, 0, 0, 0, CONV3, 0))
    child, fresh = seeded_network(SPACE, other, 0), seeded_network(SPACE, other, 0)
    taken = inherit(child, seeded_network(SPACE, SMALL, 1).state_dict())
    new = [name for name in child.state_dict() if ".operators." in name]
    assert taken == len(child.state_dict()) - len(new)
    for name in new:
        assert torch.equal(child.state_dict()[name], fresh.state_dict()[name])


def test_a_child_trained_briefly_is_better_than_one_without_a_parent(digits):
    born, alone = (Lineage(SPACE, digits, epochs=4, child_epochs=1) for _ in range(2))
    born.errors([SMALL])
    born.descends(LARGE, SMALL)
    short = Lineage(SPACE, digits, epochs=1).errors([LARGE])[0]
    assert born.errors([LARGE])[0] < short
    assert born.errors([LARGE])[0] == born.errors([LARGE])[0]
    assert alone.errors([SMALL])[0] == born.errors([SMALL])[0]


@pytest.mark.slow
def test_lemonade_says_whose_weights_a_child_starts_from(digits):
    lineage = Lineage(SPACE, digits, epochs=2, child_epochs=1)
    told = []

    def descends(child, parent):
        told.append((child, parent))
        lineage.descends(child, parent)

    def measure(architectures):
        return np.column_stack([lineage.errors(architectures), SPACE.multiply_adds(architectures).numpy()])

    problem = Problem(SPACE, "trained", measure, np.arange(1.0, 11.0), descends=descends)
    found = get_method("lemonade")(problem, 8, seed=0)
    assert [child for child, _ in told] == found[4:]
    for child, parent in told:
        assert found.index(parent) < found.index(child)
        assert sum(a != b for a, b in zip(child.choices, parent.choices, strict=True)) == 1
