"""A search by imitation: it finds the exact fronts of small problems, and tells devices apart."""

import json
from dataclasses import replace

import pytest
import torch

from modnas.accuracy.shared_weights import fit_losses
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.indicators import hypervolume
from modnas.search.refinement import score_on, select
from modnas.spaces.nasbench201.space import NasBench201
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))
CONFIG = SearchConfig(
    epochs=4, hypernetwork="conditioned", learning="imitation", front_size=8, error_bounds=(0.0, 100.0)
)
GAINS = torch.tensor([0.05, 0.4, 1.0, 0.1])


def device(name, costs, seed):
    """Latency: a cost for each live skip, conv1x1, conv3x3 and pool, and 0.1 for an addition."""
    weights = torch.zeros(32)
    weights[24:28], weights[28:31] = torch.tensor(costs), 0.1

    def predict(samples):
        return (1 + SPACE.predictor_features(samples) @ weights).unsqueeze(1)

    values = predict(SPACE.encode(SPACE.sample(300, torch.Generator().manual_seed(1))))
    features = torch.rand(10, generator=torch.Generator().manual_seed(seed))
    return SearchDevice(name, features, predict, values.amin(0), values.amax(0))


# Convolutions are cheap on one, pooling on the other.
DEVICES = (device("a", [0.2, 0.9, 1.0, 0.05], 0), device("b", [0.2, 0.1, 0.4, 1.5], 1))


class Error:
    """Falls with each live convolution."""

    def losses(self, samples, batch):
        counts = SPACE.predictor_features(samples)[:, 24:28]
        return 100 * torch.exp(-0.5 * (counts * GAINS).sum(1))

    def loss(self, sample, batch):
        return self.losses(sample.unsqueeze(0), batch)[0]

    def error(self, sample):
        return float(self.loss(sample, None))


def errors(architectures):
    return Error().losses(SPACE.encode(architectures), None).double().numpy()


def make_search(devices=DEVICES, **settings):
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


def run(search, epochs=None):
    while not search.finished and epochs != 0:
        search.run_epoch()
        search.validate()
        epochs = epochs and epochs - 1
    return search


def weight_sharing_search(**settings):
    def batches(salt):
        def draw(epoch):
            generator = torch.Generator().manual_seed(100 * salt + epoch)
            for _ in range(4):
                yield (
                    torch.randn(8, 1, 8, 8, generator=generator),
                    torch.randint(3, (8,), generator=generator),
                )

        return draw

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SPACE.supernetwork()
    given = {"preferences_per_step": 3, "imitation_steps": 40, "uniform_share": 0.5, **settings}
    return Search(
        SPACE,
        network,
        DEVICES,
        train_batches=batches(1),
        valid_batches=batches(2),
        task_loss=SupernetworkLoss(network, list(batches(3)(0))),
        config=replace(CONFIG, **given),
        fit_losses=lambda architectures, losses: fit_losses(SPACE, architectures, losses),
    )


@pytest.fixture(scope="module")
def searched():
    return run(make_search())


def volume(which, architectures):
    return hypervolume(score_on(SPACE, which, errors, (0.0, 100.0))(architectures).clip(min=0))


def test_it_finds_the_exact_fronts(searched):
    cells = [one for one in SPACE.all() if SPACE.is_usable(one)]
    for which in DEVICES:
        values = score_on(SPACE, which, errors, (0.0, 100.0))(cells)
        best = volume(which, [cells[i] for i in select(values, CONFIG.front_size)])
        found = [point.architecture for point in searched.proposals(which)]
        assert volume(which, found) > 0.99 * best


def test_fronts_differ_by_device_and_suit_their_own(searched):
    a, b = ([point.architecture for point in searched.proposals(which)] for which in DEVICES)
    assert set(a) != set(b)
    assert volume(DEVICES[0], a) > volume(DEVICES[0], b)
    assert volume(DEVICES[1], b) > volume(DEVICES[1], a)


def test_the_preference_goes_from_the_fastest_to_the_most_accurate(searched):
    for which in DEVICES:
        architectures = [point.architecture for point in searched.proposals(which)]
        error, latency = score_on(SPACE, which, errors, (0.0, 100.0))(architectures).T
        assert error[0] == max(error) and error[-1] == min(error)
        assert latency[0] == min(latency) and latency[-1] == max(latency)


def test_its_statistics_are_of_the_fronts_that_it_is_taught(searched):
    stats = searched.history[-1]
    assert 0 < stats.task_loss < 100
    assert stats.entropy < searched.history[0].entropy
    assert sum(stats.coefficients.values()) == pytest.approx(1)
    for which in DEVICES:
        assert float(which.low) <= stats.metrics[which.name][0] <= float(which.high)
    json.dumps(searched.checkpoint()[1])


def test_a_bound_that_nearly_all_keep_leaves_only_the_task(searched):
    bound = run(make_search(constraints=(1.0,), imitation_steps=200))
    for which in DEVICES:
        free, found = (
            errors([point.architecture for point in search.proposals(which)]) for search in (searched, bound)
        )
        assert free.max() > 50
        assert found.max() < 10


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_search, weight_sharing_search])
def test_an_interrupted_search_ends_bit_identically(make):
    straight = run(make(imitation_steps=40))
    stopped, fresh = run(make(imitation_steps=40), 2), make(imitation_steps=40)
    tensors, meta = stopped.checkpoint()
    fresh.restore({name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(meta)))
    expected, found = straight.checkpoint()[0], run(fresh).checkpoint()[0]
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_with_shared_weights_it_learns_from_what_it_sees_on_the_way():
    search = weight_sharing_search()
    before = {name: value.clone() for name, value in search.hypernetwork.state_dict().items()}
    stats = search.run_epoch()
    assert 0 < stats.task_loss < 10
    after = search.hypernetwork.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_one_of_losses_or_a_model_of_them_is_asked_for():
    with pytest.raises(ValueError, match="imitation needs"):
        Search(
            SPACE,
            None,
            DEVICES,
            train_batches=lambda epoch: (),
            valid_batches=lambda epoch: [None],
            task_loss=Error(),
            config=CONFIG,
        )


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="none of paper, conditioned"):
        make_search(hypernetwork="deep")
    with pytest.raises(ValueError, match="none of gradients, imitation"):
        make_search(learning="heart")
