import torch

from modnas.search.front import FrontPoint, distinct, read_front
from modnas.search.hypernetwork import MetaHypernetwork
from modnas.search.preferences import spread
from modnas.spaces.nasbench201.space import CONV3, SKIP, NasBench201

SPACE = NasBench201(channels=4, cells=1, input_shape=(1, 8, 8))


def test_a_front_follows_the_preference():
    hypernetwork = MetaHypernetwork(SPACE.options, 10, 2, bank=2)
    with torch.no_grad():  # conv3x3 where the task counts more than 0.6, skip below
        table = hypernetwork.banks[0].zero_().view(2, 101, 6, 5)
        table[:, 61:, :, CONV3] = table[:, :61, :, SKIP] = 1
    points = read_front(hypernetwork, SPACE, torch.rand(10), spread(11, 2))
    assert [point.preference for point in points] == [tuple(row) for row in spread(11, 2).tolist()]
    assert [set(point.architecture.choices) for point in points] == [{SKIP}] * 7 + [{CONV3}] * 4
    merged = distinct(points)
    assert merged == [points[0], points[7]]


def test_distinct_keeps_the_first_of_each_and_the_order():
    a, b = SPACE.at(1), SPACE.at(2)
    points = [FrontPoint((0.0, 1.0), b), FrontPoint((0.5, 0.5), a), FrontPoint((1.0, 0.0), b)]
    assert distinct(points) == points[:2]
    assert distinct([]) == []
