import torch

from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint, distinct, fastest_forms, read_front
from modnas.search.hypernetwork import MetaHypernetwork
from modnas.search.preferences import spread
from modnas.spaces.nasbench201.space import CONV3, NONE, SKIP, NasBench201

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


def device_that(predict):
    return SearchDevice("d", torch.rand(10), predict, torch.zeros(1), torch.ones(1))


def test_a_network_is_proposed_in_the_form_that_is_fastest_on_the_device():
    plain = SPACE.architecture([NONE, NONE, NONE, CONV3, NONE, NONE])
    points = [FrontPoint((0.5, 0.5), plain)]

    def zeros_cost(samples):
        return 1 + samples.view(-1, 6, 5)[:, :, NONE].sum(1, keepdim=True)

    def deleted(samples):
        # What a predictor may see where there is nothing to see.
        return 1 + 0.001 * samples.view(-1, 6, 5)[:, :, NONE].sum(1, keepdim=True)

    (found,) = fastest_forms(SPACE, device_that(zeros_cost), points)
    assert found.preference == (0.5, 0.5)
    assert found.architecture.choices.count(NONE) == 2 and SPACE.simplified(found.architecture) == plain
    assert fastest_forms(SPACE, device_that(deleted), points) == points


def test_forms_are_the_cells_that_are_the_same_network():
    for cell in SPACE.references:
        first, *others = SPACE.forms(cell)
        assert first == SPACE.simplified(cell)
        assert cell in {first, *others}
        assert {SPACE.simplified(other) for other in others} <= {first}
