"""Once-for-all's evolutionary search and the paper's two-branch predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modnas.baselines import once_for_all
from modnas.prediction import DeviceTable, metrics
from modnas.prediction.mlp import fit_two_branch
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.work import Decisions

pytestmark = pytest.mark.trains

SPACE = MobileNetV3()


def blocks(onehot):
    """Number of blocks, the latency of an imaginary device."""
    return Decisions.of(onehot).live().sum(1)


def small_kernels(onehot):
    """Share of blocks with a kernel of 3, the error of an imaginary task: absent blocks count as present."""
    return 100 * Decisions.of(onehot).kernel[..., 0].mean(1)


def test_evolution_finds_the_best_under_each_bound():
    bounds = [10.0, 13.5, 20.0]
    found = once_for_all.search(SPACE, small_kernels, blocks, bounds, generations=60, seed=0)
    onehot = SPACE.encode_choices(torch.tensor([a.choices for a in found]))
    assert all(int(count) <= bound for count, bound in zip(blocks(onehot), bounds, strict=True))
    live = Decisions.of(onehot).live().bool()
    wrong = (Decisions.of(onehot).kernel[..., 0].bool() & live).sum(1)
    assert wrong.max() <= 1
    assert found == once_for_all.search(SPACE, small_kernels, blocks, bounds, generations=60, seed=0)


def test_a_bound_that_nothing_keeps_gives_the_fastest_found():
    (found,) = once_for_all.search(SPACE, small_kernels, blocks, [5.0], generations=30, seed=0)
    assert sum(map(len, SPACE.stages(found))) == 10


@pytest.mark.slow
def test_the_two_branch_predictor_learns_devices_that_differ():
    generator = torch.Generator().manual_seed(0)
    architectures = SPACE.sample(900, generator)
    known, rest = architectures[:800], architectures[800:]
    everything = [*SPACE.references, *architectures]
    onehot = SPACE.encode(everything)
    size = Decisions.of(onehot).resolution.argmax(1).double().numpy()
    count = blocks(onehot).double().numpy()
    values = {"by_size": 1 + size, "by_blocks": 3 * count}
    tables = [DeviceTable(name, v[:10], known, v[10:810]) for name, v in values.items()]
    fitted = fit_two_branch(SPACE, tables, epochs=40, batch_size=32)
    for v in values.values():
        assert metrics.spearman(fitted.predict(rest, v[:10]), v[810:]) > 0.9
    once, again = (fit_two_branch(SPACE, tables, epochs=2, batch_size=32) for _ in range(2))
    assert np.array_equal(*(network.predict(rest, v[:10]) for network in (once, again)))
