import numpy as np
import torch

from modnas.search.records import Records
from modnas.spaces.nasbench201.space import CONV3, NasBench201

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))


def seen(steps=30, count=6, first=0):
    """Losses that belong to the step, which may hide everything, and fall with each 3x3 convolution."""
    draw = torch.Generator().manual_seed(first)
    for _ in range(steps):
        architectures = SPACE.sample(count, draw)
        of_step = 3 * torch.rand((), generator=draw)
        yield architectures, torch.exp(of_step - 0.3 * torch.tensor([convolutions(a) for a in architectures]))


def convolutions(architecture):
    return float(sum(op == CONV3 for op in architecture.choices))


def least_squares(architectures, losses):
    design = np.array([[1.0, convolutions(a)] for a in architectures])
    weights = np.linalg.lstsq(design, np.log(losses), rcond=None)[0]
    return lambda others: np.exp(np.array([[1.0, convolutions(a)] for a in others]) @ weights)


def filled(**arguments):
    records = Records(SPACE)
    for architectures, losses in seen(**arguments):
        records.add(architectures, losses)
    return records


def test_what_a_step_adds_is_taken_out():
    losses, (low, high) = filled().model(least_squares)
    few, many = (SPACE.architecture(choices) for choices in ([1, 1, 1, 1, 1, 3], [3, 3, 3, 3, 3, 3]))
    found = losses([few, many])
    assert abs(np.log(found[0] / found[1]) - 0.3 * 5) < 0.1
    assert low < high


def test_unusable_architectures_say_nothing():
    records = Records(SPACE)
    records.add([SPACE.unusable, SPACE.references[0]], torch.tensor([9.0, 1.0]))
    assert records.losses.tolist() == [1.0]


def test_a_model_needs_more_than_a_few():
    records = Records(SPACE)
    assert not records.enough
    for _ in range(20):
        records.add([SPACE.references[0]], torch.ones(1))
    assert not records.enough
    assert filled().enough


def test_only_the_newest_are_kept():
    records = filled(steps=300)
    *_, (architectures, losses) = seen(steps=300)
    assert len(records.losses) == 1500
    torch.testing.assert_close(records.losses[-6:], losses.double())
    assert records.choices[-1].tolist() == list(architectures[-1].choices)


def test_records_survive_a_checkpoint():
    records, other = filled(), Records(SPACE)
    other.restore("r", records.checkpoint("r"))
    more = SPACE.sample(3, torch.Generator().manual_seed(5))
    for one in (records, other):
        one.add(more, torch.ones(3))
    expected, found = records.checkpoint("r"), other.checkpoint("r")
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
