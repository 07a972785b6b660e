import itertools

import numpy as np
import pytest
import torch

from modnas.search import lessons
from modnas.search.front import FrontPoint
from modnas.search.lessons import draw_up, places
from modnas.spaces.nasbench201.space import CONV3, SKIP, NasBench201

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))


def counts(architectures, operator):
    return np.array([sum(op == operator for op in one.choices) for one in architectures], np.float64)


def score(price):
    """Error falls with 3x3 convolutions; each costs `price`, and what is no skip a little."""

    def values(architectures):
        convolutions = counts(architectures, CONV3)
        others = 6 - convolutions - counts(architectures, SKIP)
        return np.stack([1 - convolutions / 6, price * convolutions / 6 + 0.1 * others], 1)

    return values


def starts():
    drawn = SPACE.sample(4, torch.Generator().manual_seed(0))
    return [FrontPoint((share, 1 - share), one) for share, one in zip((0, 0.3, 0.7, 1), drawn, strict=True)]


@pytest.mark.parametrize("small", [True, False])
def test_a_lesson_is_the_front_from_the_fastest_to_the_most_accurate(small, monkeypatch):
    if not small:
        monkeypatch.setattr(lessons, "_LISTED", 10)
    (lesson,) = draw_up(SPACE, [score(0.9)], 24, starts())
    expected = [[1 - n / 6, 0.9 * n / 6] for n in range(7)]
    np.testing.assert_allclose(lesson.values, expected, atol=1e-12)
    assert lesson.preferences[:, 0].tolist() == pytest.approx([n / 6 for n in range(7)])
    for choices in lesson.choices.tolist():
        one = SPACE.architecture(choices)
        assert SPACE.simplified(one) == one


def test_devices_have_lessons_of_their_own():
    cheap, dear = draw_up(SPACE, [score(0.3), score(3.0)], 3, starts())
    assert cheap.values.tolist() != dear.values.tolist()


def test_places_of_two_objectives_follow_the_order():
    values = np.array([[1.0, 0.0], [0.9, 0.01], [0.0, 1.0]])
    assert places(values)[:, 0].tolist() == [0, 0.5, 1]
    assert places(values[:1]).tolist() == [[0.5, 0.5]]


def test_places_of_three_objectives_lead_to_the_best_in_each():
    values = np.array([row for row in itertools.product((0.0, 0.5, 1.0), repeat=3) if sum(row) == 1.5])
    found = places(values)
    torch.testing.assert_close(found.sum(1), torch.ones(len(values)))
    for objective in range(3):
        corner = torch.eye(3)[objective]
        nearest = int(torch.cdist(corner[None], found).argmin())
        assert values[nearest, objective] == 0
