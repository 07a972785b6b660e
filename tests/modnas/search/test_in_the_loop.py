"""Which networks are measured while a search runs, when, and how it goes on with what is known then."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.in_the_loop import ROUNDS, choose_networks, next_networks, schedule
from modnas.search.loop import run_to_end
from modnas.search.reading import FrontReader
from modnas.spaces.nasbench201.space import NasBench201

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))
CELLS = SPACE.sample(6, torch.Generator().manual_seed(0))
# Slower and better from the first to the fourth; the last two are worse than others in both.
VALUES = np.array([[0.9, 0.1], [0.6, 0.3], [0.4, 0.5], [0.1, 0.9], [0.95, 0.6], [0.8, 0.95]])
UNSURE = np.full((6, 1), 0.05)
CONFIG = SearchConfig(
    epochs=4,
    hypernetwork="conditioned",
    learning="imitation",
    imitation_steps=20,
    front_size=4,
    error_bounds=(0.0, 100.0),
)


def device(costs, name="a", seed=0):
    """Latency: a cost for each kind of operator, wherever it is."""
    weights = torch.tensor(costs)

    def predict(samples):
        return 1 + samples.view(len(samples), 6, 5).sum(1).float() @ weights.unsqueeze(1)

    values = predict(SPACE.encode(SPACE.sample(200, torch.Generator().manual_seed(1))))
    features = torch.rand(10, generator=torch.Generator().manual_seed(seed))
    return SearchDevice(name, features, predict, values.amin(0), values.amax(0))


CONVOLUTIONS_COST, POOLING_COSTS = [0.0, 0.1, 0.5, 1.0, 0.1], [0.0, 0.1, 0.2, 0.3, 2.0]


GAINS = torch.tensor([0.0, 2.0, 8.0, 12.0, 9.0])


class Error:
    """Falls with each convolution, with each pooling a little less."""

    def loss(self, sample, batch):
        return 90 - sample.view(6, 5).sum(0) @ GAINS

    def error(self, sample):
        return float(self.loss(sample, None))


def errors(architectures):
    counts = SPACE.encode(architectures).view(-1, 6, 5).sum(1)
    return (90 - counts @ GAINS).double().numpy()


def make_search(devices, **settings):
    return Search(
        SPACE,
        None,
        devices,
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: [None],
        task_loss=Error(),
        config=replace(CONFIG, **settings),
        losses=errors,
    )


def reader(search):
    return FrontReader(search, errors, (0.0, 100.0), budget=100)


@given(st.integers(1, 300), st.integers(0, 60))
def test_stops_lie_between_epochs_and_lead_to_the_number_asked_for(epochs, count):
    found = schedule(epochs, count)
    assert len(found) <= ROUNDS and list(found.values())[-1:] == ([count] if count else [])
    assert all(0 < epoch < epochs or epochs == 1 for epoch in found)
    assert [0, *found.values()] == sorted({0, *found.values()}), "each stop measures something"


def test_what_may_be_on_the_front_is_measured_first():
    assert set(choose_networks(CELLS, VALUES, UNSURE, {}, count=4, size=4)) == set(CELLS[:4])


def test_nothing_is_measured_twice():
    measured = {CELLS[i]: (VALUES[i, 1],) for i in (0, 2)}
    assert set(choose_networks(CELLS, VALUES, UNSURE, measured, count=2, size=4)) == {CELLS[1], CELLS[3]}


def test_no_more_are_chosen_than_are_asked_for():
    for count in range(4):
        assert len(choose_networks(CELLS, VALUES, UNSURE, {}, count=count, size=4)) == count


def test_each_metric_has_its_share():
    # In the second metric the order is another: one that is on its front alone.
    values = np.column_stack([VALUES, [0.9, 0.8, 0.85, 0.95, 0.1, 0.97]])
    values[4, 0] = 0.5
    chosen = choose_networks(CELLS, values, np.full((6, 2), 0.05), {}, count=2, size=6)
    assert len(set(chosen)) == 2 and CELLS[4] in chosen


def test_next_networks_are_new_ones_that_can_be_measured():
    one = device(CONVOLUTIONS_COST)
    search = make_search([one])
    unsure = lambda some: np.full((len(some), 1), 0.2)  # noqa: E731
    first = next_networks(reader(search), one, unsure, {}, 4)
    assert len(set(first)) == 4
    measured = {a: (float(v[0]),) for a, v in zip(first, one.metrics(SPACE, first), strict=True)}
    forbidden = first[0].choices[0]
    second = next_networks(
        reader(search), one, unsure, measured, 4, there=lambda a: a.choices[0] != forbidden
    )
    assert second and not set(second) & set(first)
    assert all(a.choices[0] != forbidden for a in second)
    assert next_networks(reader(search), one, unsure, {}, 4, there=lambda a: False) == []


@pytest.mark.slow
@pytest.mark.trains
def test_a_search_follows_what_is_measured_meanwhile():
    """What is learnt at last is the front of the device as it is, not as it was believed to be."""
    true = device(POOLING_COSTS)

    def latency(search):
        found = [point.architecture for point in search.front(true.features)]
        return float(true.metrics(SPACE, found).mean())

    def told(search):
        if search.epoch == 1:
            search.renew([true])

    misled, told_better = (make_search([device(CONVOLUTIONS_COST)], imitation_steps=150) for _ in range(2))
    run_to_end(misled)
    run_to_end(told_better, before_epoch=lambda: told(told_better))
    assert latency(told_better) < latency(misled) - 1


@pytest.mark.parametrize("learning", ["gradients", "imitation"])
def test_a_renewed_search_goes_on_as_one_that_began_so(learning):
    """After a checkpoint it is made of what was known then."""
    kind = {"gradients": "paper", "imitation": "conditioned"}[learning]
    options = {"learning": learning, "hypernetwork": kind, "bank": 3, "intervals": 5}
    before, after = device(CONVOLUTIONS_COST), device(POOLING_COSTS)
    search = make_search([before], **options)
    search.run_epoch()
    resumed = make_search([after], **options)
    resumed.restore(*search.checkpoint())
    search.renew([after])
    for one in (search, resumed):
        run_to_end(one)
    first, second = search.checkpoint()[0], resumed.checkpoint()[0]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "others",
    [
        [device(POOLING_COSTS, "b")],
        [device(POOLING_COSTS, seed=1)],
        [device(POOLING_COSTS), device(POOLING_COSTS, "b")],
    ],
    ids=["another name", "another vector", "one more"],
)
def test_a_search_goes_on_with_the_same_devices_only(others):
    search = make_search([device(CONVOLUTIONS_COST)])
    with pytest.raises(ValueError, match=r"devices|vectors"):
        search.renew(others)
    assert [one.name for one in search.devices] == ["a"]


def test_before_each_epoch_it_can_be_measured():
    search, seen = make_search([device(CONVOLUTIONS_COST)]), []
    search.run_epoch()
    run_to_end(search, before_epoch=lambda: seen.append(search.epoch))
    assert seen == [1, 2, 3]
