import json
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from torch import nn

from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.indicators import hypervolume, scale
from modnas.search.preferences import spread
from modnas.spaces.nasbench201.space import CONV3, NasBench201
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))
QUICK = SearchConfig(epochs=4, learning_rate=0.02, bank=4, smoothing=5, front_size=6)


def device(name, costs, seed):
    """Latency: a cost for each live skip, conv1x1, conv3x3 and pool, and 0.1 for an addition."""
    weights = torch.zeros(32)
    weights[24:28], weights[28:31] = torch.tensor(costs), 0.1

    def predict(samples):
        return (SPACE.predictor_features(samples) @ weights).unsqueeze(1)

    values = predict(SPACE.encode(SPACE.sample(300, torch.Generator().manual_seed(1))))
    features = torch.rand(10, generator=torch.Generator().manual_seed(seed))
    return SearchDevice(name, features, predict, values.amin(0), values.amax(0))


DEVICES = (device("a", [0.0, 0.4, 1.0, 0.3], 0), device("b", [0.1, 0.5, 0.6, 1.0], 1))


class ConvolutionsHelp:
    """A stand-in for accuracy: the error falls with each live convolution."""

    gains = torch.tensor([0.05, 0.4, 1.0, 0.1])

    def __init__(self):
        self.asked = 0

    def loss(self, sample, batch):
        counts = SPACE.predictor_features(sample.unsqueeze(0))[0, 24:28]
        return torch.exp(-0.5 * (counts * self.gains).sum())

    def error(self, sample):
        self.asked += 1
        return 100 * float(self.loss(sample, None))


def surrogate_search(devices=DEVICES, steps=1, **settings):
    return Search(
        SPACE,
        None,
        devices,
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: [None] * steps,
        task_loss=ConvolutionsHelp(),
        config=replace(QUICK, **settings),
    )


def batches(salt):
    def draw(epoch):
        generator = torch.Generator().manual_seed(100 * salt + epoch)
        for _ in range(3):
            yield torch.randn(8, 1, 8, 8, generator=generator), torch.randint(3, (8,), generator=generator)

    return draw


def weight_sharing_search(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SPACE.supernetwork()
    task_loss = SupernetworkLoss(network, list(batches(3)(0)))
    config = replace(QUICK, **settings)
    return Search(
        SPACE,
        network,
        DEVICES,
        train_batches=batches(1),
        valid_batches=batches(2),
        task_loss=task_loss,
        config=config,
    )


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def scaled(search, which, architectures):
    samples = SPACE.encode(architectures)
    values = [
        [search.task_loss.error(sample), float(latency)]
        for sample, latency in zip(samples, which.predict(samples), strict=True)
    ]
    return scale(values, [0, float(which.low)], [100, float(which.high)])


def scaled_front(search, which):
    return scaled(search, which, [point.architecture for point in search.front(which.features)])


@pytest.fixture(scope="module")
def searched():
    search = surrogate_search(
        steps=40, epochs=5, learning_rate=0.3, front_size=24, smoothing=10, preferences_per_step=6
    )
    while not search.finished:
        search.run_epoch()
        search.validate()
    return search


def test_the_front_beats_as_many_random_architectures(searched):
    for which in DEVICES:
        found = {point.architecture for point in searched.front(which.features)}
        drawn = [SPACE.sample(len(found), torch.Generator().manual_seed(n)) for n in range(40)]
        volume, *by_chance = (
            hypervolume(scaled(searched, which, list(architectures)).clip(min=0))
            for architectures in (found, *drawn)
        )
        assert volume > fmean(by_chance) + 0.02


def test_the_front_follows_the_preference(searched):
    for which in DEVICES:
        error, latency = scaled_front(searched, which).T
        third = len(error) // 3
        assert latency[:third].mean() < latency[-third:].mean() - 0.1
        assert error[:third].mean() > error[-third:].mean() + 0.1
        assert len({tuple(point) for point in zip(error, latency, strict=True)}) >= 4


def test_a_device_can_be_unknown_to_the_search(searched):
    points = searched.front(torch.full((10,), 0.5), count=5)
    assert [point.preference for point in points] == [tuple(row) for row in spread(5, 2).tolist()]


def test_the_search_starts_from_equal_probabilities_and_grows_surer(searched):
    fresh = surrogate_search()
    fresh.run_epoch()  # one step: its architectures are drawn before anything is learnt
    assert fresh.history[0].entropy == pytest.approx(1)
    first, *_, last = (stats.entropy for stats in searched.history)
    assert last < min(first - 0.1, 0.5)


@pytest.mark.parametrize("smoothing", [0, 4])
def test_stats_are_means_over_the_epoch(smoothing):
    search = surrogate_search(steps=5, preferences_per_step=2, smoothing=smoothing)
    stats = search.run_epoch()
    assert (stats.epoch, stats.steps) == (0, 5)
    assert set(stats.device_loss) == set(stats.metrics) == set(stats.coefficients) == {"a", "b"}
    assert sum(stats.coefficients.values()) == pytest.approx(1, abs=1e-5)
    for which in DEVICES:
        assert float(which.low) <= stats.metrics[which.name][0] <= float(which.high)
    assert 0 < stats.task_loss < 1
    json.dumps(search.checkpoint()[1])


@pytest.mark.parametrize("scheme", ["mgd", "mean", "sequential", "sample"])
@pytest.mark.parametrize("estimator", ["reinmax", "gdas"])
def test_every_scheme_and_estimator_lowers_the_loss(scheme, estimator):
    search = surrogate_search(
        steps=25, epochs=3, scheme=scheme, estimator=estimator, learning_rate=0.1, preferences_per_step=2
    )
    while not search.finished:
        search.run_epoch()
    first, last = search.history[0], search.history[-1]
    assert sum(last.device_loss.values()) < sum(first.device_loss.values())
    steps_a_batch = sum(first.coefficients.values())
    assert steps_a_batch == pytest.approx(2 if scheme == "sequential" else 1, abs=1e-5)


@pytest.mark.slow
def test_a_prior_of_one_leaves_only_the_task():
    free, bound = (
        surrogate_search(steps=40, epochs=3, learning_rate=0.1, constraints=constraints)
        for constraints in ((), (1.0,))
    )
    for search in (free, bound):
        while not search.finished:
            search.run_epoch()
    for which in DEVICES:
        free_error, bound_error = (scaled_front(s, which)[:, 0].mean() for s in (free, bound))
        assert bound_error < free_error - 0.1


def test_three_objectives():
    def with_energy(which):
        def predict(samples):
            latency = which.predict(samples)
            flags = SPACE.predictor_features(samples)
            return torch.cat([latency, flags[:, 24:28].sum(1, keepdim=True)], 1)

        bounds = [
            torch.cat([bound, torch.tensor([extra])])
            for bound, extra in ((which.low, 1.0), (which.high, 6.0))
        ]
        return SearchDevice(which.name, which.features, predict, *bounds)

    search = surrogate_search([with_energy(which) for which in DEVICES], steps=3, front_size=10)
    stats = search.run_epoch()
    assert len(stats.metrics["a"]) == 2
    found = search.validate()
    assert {len(point) for values in found.objectives.values() for point in values} == {3}
    assert 0 < found.score < 1


def test_the_lower_level_trains_the_weights_and_the_upper_level_does_not():
    search = weight_sharing_search(weights_learning_rate=0.0, weights_decay=0.0)
    before = {name: value.clone() for name, value in search.supernetwork.state_dict().items()}
    search.run_epoch()
    assert same(before, search.supernetwork.state_dict())
    trained = weight_sharing_search(epochs=8)
    while not trained.finished:  # until chance has given every edge every kernel
        trained.run_epoch()
    changed = [not torch.equal(before[k], v) for k, v in trained.supernetwork.state_dict().items()]
    assert all(changed)


def test_bfloat16_runs_the_networks_and_leaves_the_weights_in_float32():
    exact, rounded = weight_sharing_search(), weight_sharing_search(bfloat16=True)
    seen = []
    for search in (exact, rounded):
        stem = next(m for m in search.supernetwork.modules() if isinstance(m, torch.nn.Conv2d))
        stem.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    losses = [search.run_epoch().task_loss for search in (exact, rounded)]
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.05)
    assert {p.dtype for p in rounded.supernetwork.parameters()} == {torch.float32}


def test_an_interrupted_search_ends_bit_identically():
    straight = weight_sharing_search()
    resumed = weight_sharing_search()
    for search, epochs in ((straight, 4), (resumed, 2)):
        for _ in range(epochs):
            search.run_epoch()
            search.validate()
    tensors, meta = resumed.checkpoint()
    fresh = weight_sharing_search()
    with torch.no_grad():
        for parameter in fresh.supernetwork.parameters():
            parameter.fill_(7.0)
    fresh.restore({k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(meta)))
    for _ in range(2):
        fresh.run_epoch()
        fresh.validate()
    assert same(straight.checkpoint()[0], fresh.checkpoint()[0])
    assert straight.best_epoch == fresh.best_epoch
    for which in DEVICES:
        assert straight.front(which.features) == fresh.front(which.features)
    losses = [[stats.task_loss for stats in search.history] for search in (straight, fresh)]
    assert losses[0] == losses[1]


def test_an_interrupted_warm_up_continues_where_it_stopped():
    straight, stopped, fresh = (weight_sharing_search(warmup_epochs=3) for _ in range(3))
    while not straight.warm:
        straight.run_warmup_epoch()
    stopped.run_warmup_epoch()
    tensors, meta = stopped.checkpoint()
    fresh.restore(tensors, json.loads(json.dumps(meta)))
    assert fresh.warmed == 1
    with pytest.raises(ValueError, match="warm-up"):
        fresh.run_epoch()
    while not fresh.warm:
        fresh.run_warmup_epoch()
    assert same(straight.checkpoint()[0], fresh.checkpoint()[0])


def test_a_checkpoint_is_not_changed_by_what_follows():
    search = weight_sharing_search()
    search.run_epoch()
    tensors, _ = search.checkpoint()
    copies = {name: value.clone() for name, value in tensors.items()}
    search.run_epoch()
    assert same(tensors, copies)


def test_a_checkpoint_of_another_search_is_refused():
    tensors, meta = surrogate_search().checkpoint()
    for other, what in (
        (surrogate_search(seed=1), "config"),
        (surrogate_search(DEVICES[:1]), "devices"),
    ):
        with pytest.raises(ValueError, match=f"the checkpoint's {what} is"):
            other.restore(tensors, meta)


def test_checkpoints_from_before_there_was_a_choice_of_hypernetworks_are_read():
    search = surrogate_search()
    search.run_epoch()
    search.validate()
    tensors, meta = search.checkpoint()
    for name in [*meta["config"]]:
        if name in ("hypernetwork", "learning") or name.startswith("imitation"):
            del meta["config"][name]
    for epoch in meta["history"]:
        del epoch["device_spread"]
    resumed = surrogate_search()
    resumed.restore(tensors, meta)
    for one in (search, resumed):
        one.run_epoch()
    assert same(search.checkpoint()[0], resumed.checkpoint()[0])
    with pytest.raises(ValueError, match="the checkpoint's config is"):
        surrogate_search(hypernetwork="conditioned").restore(tensors, meta)


def test_the_best_state_is_kept_not_the_last():
    search = surrogate_search(steps=80, learning_rate=0.1)
    search.run_epoch()
    good = search.validate()
    assert search.best_epoch == 1
    kept = search.front(DEVICES[0].features)
    with torch.no_grad():  # a step gone wrong: only the dearest cell at every preference
        table = search.hypernetwork.banks[0].zero_()
        table.view(*table.shape[:2], 6, 5)[..., CONV3] = 1
    bad = search.validate()
    assert bad.score < good.score
    assert search.best_epoch == 1
    assert search.front(DEVICES[0].features) == kept


def test_validation_evaluates_each_architecture_once():
    search = surrogate_search(steps=2)
    search.run_epoch()
    found = search.validate()
    different = {point.architecture for points in found.fronts.values() for point in points}
    assert search.task_loss.asked == len(different)


def test_fitting_inputs_are_asked_for():
    a, b = DEVICES
    with pytest.raises(ValueError, match="at least one device"):
        surrogate_search([])
    with pytest.raises(ValueError, match="named twice"):
        surrogate_search([a, a])
    with pytest.raises(ValueError, match="features have different shapes"):
        surrogate_search([a, replace(b, features=torch.rand(20))])
    with pytest.raises(ValueError, match="2 constraints for 1"):
        surrogate_search(constraints=(0.1, 0.2))
    with pytest.raises(ValueError, match="no batch"):
        surrogate_search(steps=0).run_epoch()


def test_the_upper_level_asks_for_no_gradient_of_the_weights():
    class Guard(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(SPACE.width))

        def forward(self, inputs, sample):
            return sample * self.weight

    network, touched = Guard(), []
    network.weight.register_hook(touched.append)

    class Loss:
        def loss(self, sample, batch):
            return network(batch, sample).square().sum()

        def error(self, sample):
            return 0.0

    search = Search(
        SPACE,
        None,
        DEVICES,
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: [None] * 2,
        task_loss=Loss(),
        config=QUICK,
    )
    search.run_epoch()
    assert touched == []
    assert network.weight.grad is None
