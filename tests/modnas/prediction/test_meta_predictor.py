"""The MetaPredictor on made-up devices, whose true values are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from modnas.prediction import DeviceTable, Measured, fit_predictor, from_state, to_state
from modnas.prediction.metrics import mean_relative_error, spearman
from modnas.spaces.nasbench201 import NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201(channels=16, cells=1, input_shape=(1, 8, 8))
CELLS = SPACE.sample(300, torch.Generator().manual_seed(0))
TRAIN, TEST = CELLS[:80], CELLS[80:]


class Device:
    """A board: a constant, a cost an operator and an addition, a discount for two 3x3 in a row."""

    def __init__(self, scale, costs, noise=0.01, deletes=True):
        self.scale, self.costs, self.noise, self.deletes = scale, costs, noise, deletes

    def true(self, cells):
        onehot = SPACE.encode(cells).double()
        features = SPACE.predictor_features(onehot)
        flags = features[:, :24].view(-1, 6, 4)
        if not self.deletes:
            flags = onehot.view(-1, 6, 5)[..., 1:]
        work = (flags.sum(1) @ torch.tensor(self.costs, dtype=torch.float64)) + 0.2 * features[:, 28:31].sum(
            1
        )
        fused = flags[:, 0, 2] * flags[:, 2, 2] + flags[:, 2, 2] * flags[:, 5, 2]
        return (self.scale * (3 + work - 0.5 * fused)).numpy()

    def measured(self, cells, seed=0):
        true = self.true(cells)
        return true * (1 + self.noise * np.random.default_rng(seed).standard_normal(len(true)))

    def table(self, name, cells, seed=0):
        features = self.measured(SPACE.references, seed + 1000)
        return DeviceTable(name, features, cells, self.measured(cells, seed))


FAST = Device(0.01, [0.1, 1.0, 2.5, 0.6])
SLOW = Device(40.0, [0.1, 2.0, 2.2, 1.5])
KEEPS = Device(1.0, [0.3, 1.0, 2.5, 0.6], deletes=False)


@pytest.fixture(scope="module")
def one():
    return fit_predictor(SPACE, [FAST.table("fast", TRAIN)])


@pytest.fixture(scope="module")
def several():
    random = np.random.default_rng(5)
    devices = [
        Device(10.0 ** random.uniform(-2, 2), random.uniform([0, 0.5, 1, 0.2], [0.5, 3, 5, 3]))
        for _ in range(5)
    ]
    return fit_predictor(SPACE, [d.table(f"d{i}", CELLS[: 60 + 5 * i], i) for i, d in enumerate(devices)])


@pytest.mark.parametrize("device", [FAST, SLOW, KEEPS], ids=["fast", "slow", "keeps-dead"])
def test_one_device_from_eighty_cells(device):
    table = device.table("device", TRAIN)
    prediction = fit_predictor(SPACE, [table]).predict(TEST, table.features)
    true = device.true(TEST)
    assert spearman(prediction.value, true) > 0.98
    order = np.argsort(true)
    for part in (order[:20], order[-20:]):  # both ends of the range
        assert mean_relative_error(prediction.value[part], true[part]) < 0.04


def test_the_interval_holds_about_nine_of_ten_measurements():
    """On the average over predictors: by the noise of its measurements one's intervals are short or long."""
    shares, measured = [], FAST.measured(TEST, seed=7)
    for seed in range(6):
        table = FAST.table("fast", TRAIN, seed)
        prediction = fit_predictor(SPACE, [table]).predict(TEST, table.features)
        shares.append(((prediction.lower <= measured) & (measured <= prediction.upper)).mean())
        assert (prediction.lower < prediction.value).all()
        assert (prediction.value < prediction.upper).all()
        assert np.median((prediction.upper - prediction.lower) / prediction.value) < 0.12
    assert 0.8 < np.mean(shares) < 0.99


def test_forward_and_predict_agree(one):
    features = FAST.table("fast", TRAIN).features
    value = one(SPACE.encode(TEST), torch.as_tensor(features))
    assert value.shape == (len(TEST),)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), one.predict(TEST, features).value, rtol=1e-5)


def test_gradient_of_an_edge_points_to_the_cheaper_operator(one):
    features = torch.as_tensor(FAST.table("fast", TRAIN).features)
    onehot = SPACE.encode([SPACE.architecture((3, 3, 1, 3, 1, 1))]).requires_grad_()
    one(onehot, features).sum().backward()
    gradient = onehot.grad.view(6, 5)
    assert gradient.isfinite().all()
    for edge in (0, 1, 3):
        assert gradient[edge, 3] > gradient[edge, 2] > gradient[edge, 1]


def test_rows_may_belong_to_different_devices(several):
    onehot = SPACE.encode(TEST[:6])
    features = torch.stack([several.features[i % 2] for i in range(6)])
    mixed = several(onehot, features)
    for i in (0, 1):
        alone = several(onehot[i::2], several.features[i])
        torch.testing.assert_close(mixed[i::2], alone)


def test_the_unit_of_a_device_only_scales_its_predictions(several):
    onehot = SPACE.encode(TEST).double()
    features = torch.as_tensor(SLOW.measured(SPACE.references))
    torch.testing.assert_close(several(onehot, 1000 * features), 1000 * several(onehot, features))


def test_an_unseen_device_from_ten_measurements(several):
    inside = []
    for device in (SLOW, FAST):
        prediction = several.predict(TEST, device.measured(SPACE.references, 3))
        true = device.true(TEST)
        assert spearman(prediction.value, true) > 0.95
        assert mean_relative_error(prediction.value, true) < 0.1
        inside += [(prediction.lower <= true) & (true <= prediction.upper)]
    assert np.mean(inside) > 0.8


def test_a_learned_device_is_predicted_better_than_from_its_features_alone():
    tables = [FAST.table("fast", TRAIN), SLOW.table("slow", TRAIN)]
    both = fit_predictor(SPACE, tables)
    without = fit_predictor(SPACE, tables[1:])
    true, features = FAST.true(TEST), tables[0].features
    known = mean_relative_error(both.predict(TEST, features).value, true)
    unseen = mean_relative_error(without.predict(TEST, features).value, true)
    assert known < 0.02 < unseen


def test_an_unseen_device_has_wider_intervals(several):
    """In the middle of several: the noise of ten measurements can make one device's intervals short."""

    def width(features):
        prediction = several.predict(TEST, features)
        return np.median((prediction.upper - prediction.lower) / prediction.value)

    known = [width(features.numpy()) for features in several.features]
    unseen = [width(d.measured(SPACE.references, seed)) for d in (SLOW, FAST) for seed in range(3)]
    assert np.median(unseen) > 1.2 * np.median(known)


def test_the_references_alone_make_a_predictor():
    table = FAST.table("fast", [])
    prediction = fit_predictor(SPACE, [table]).predict(TEST, table.features)
    assert spearman(prediction.value, FAST.true(TEST)) > 0.8


def test_same_data_same_predictor(one):
    again, _ = to_state(fit_predictor(SPACE, [FAST.table("fast", TRAIN)]))
    for name, tensor in to_state(one)[0].items():
        assert torch.equal(tensor, again[name]), name


def test_more_cells_than_the_hyperparameters_need():
    cells = SPACE.sample(450, torch.Generator().manual_seed(9))
    table = KEEPS.table("keeps", cells[:250])
    prediction = fit_predictor(SPACE, [table], seed=1).predict(cells[250:], table.features)
    assert mean_relative_error(prediction.value, KEEPS.true(cells[250:])) < 0.02


def test_a_device_without_differences_is_predicted_as_its_constant():
    table = DeviceTable("ticks", np.r_[np.full(9, 5.0), 6.0], TRAIN, np.full(len(TRAIN), 5.0))
    prediction = fit_predictor(SPACE, [table]).predict(TEST, table.features)
    assert np.abs(prediction.value - 5).max() < 1
    assert np.isfinite(prediction.upper).all()


@pytest.mark.parametrize("name", ["one", "several"])
def test_a_predictor_survives_safetensors_and_json(name, request):
    predictor = request.getfixturevalue(name)
    tensors, description = to_state(predictor)
    restored = from_state(SPACE, load(save(tensors)), json.loads(json.dumps(description)))
    features = SLOW.measured(SPACE.references)
    for field in ("value", "lower", "upper"):
        np.testing.assert_array_equal(
            getattr(restored.predict(TEST, features), field),
            getattr(predictor.predict(TEST, features), field),
        )


def test_a_foreign_or_damaged_predictor_is_refused(one):
    tensors, description = to_state(one)
    with pytest.raises(ValueError, match="c8n1"):
        from_state(NasBench201(channels=8, cells=1), tensors, description)
    with pytest.raises(ValueError, match="format"):
        from_state(SPACE, tensors, {**description, "format": 99})
    broken = dict(list(tensors.items())[1:])
    name, last = next((n, t) for n, t in reversed(tensors.items()) if t.dim())
    for parts in (
        ({**tensors, name: last * float("nan")}, description),
        ({**tensors, name: last.int()}, description),
        (broken, description),
        (tensors, {**description, "rows": [3]}),
        (tensors, {**description, "rows": None}),
    ):
        with pytest.raises(ValueError, match=r"fit it again|at least one device"):
            from_state(SPACE, *parts)


GOOD = np.arange(1.0, 11.0)


@pytest.mark.parametrize(
    ("features", "values", "message"),
    [
        (GOOD[:9], [1.0, 2.0], "10 reference measurements"),
        (GOOD - 1, [1.0, 2.0], "must be positive"),
        (GOOD * np.nan, [1.0, 2.0], "must be positive"),
        (np.ones(10), [1.0, 2.0], "all references measured the same"),
        (GOOD, [1.0], "values for 2 architectures"),
        (GOOD, [1.0, 0.0], "must be positive"),
        (GOOD, [1.0, np.inf], "must be positive"),
    ],
)
def test_unusable_tables_are_refused(features, values, message):
    with pytest.raises(ValueError, match=rf"board: .*{message}"):
        fit_predictor(SPACE, [DeviceTable("board", features, TEST[:2], values)])


def test_no_table_is_refused():
    with pytest.raises(ValueError, match="at least one device"):
        fit_predictor(SPACE, [])


def test_unusable_features_are_refused_when_predicting(one):
    with pytest.raises(ValueError, match="the device: 10 reference measurements"):
        one.predict(TEST, GOOD[:5])


def _further(device, cells, seed=11):
    return Measured(cells, device.measured(cells, seed))


def test_further_measurements_sharpen_what_is_known_of_an_unseen_device(several):
    """Of one that is unlike those learned: it does not delete dead operators; and noisy."""
    device = Device(KEEPS.scale, KEEPS.costs, noise=0.03, deletes=False)
    true, errors = device.true(TEST), []
    for seed in range(4):
        features, more = device.measured(SPACE.references, 3 + seed), _further(device, TRAIN[:20], 20 + seed)
        guesses = several.predict(TEST, features), several.predict(TEST, features, more)
        errors.append([mean_relative_error(guess.value, true) for guess in guesses])
        widths = [(guess.upper - guess.lower).mean() for guess in guesses]
        assert widths[1] < widths[0]
    before, after = np.mean(errors, axis=0)
    assert after < 0.8 * before
    features = KEEPS.measured(SPACE.references, 3)
    after = several.predict(TEST, features, _further(KEEPS, TRAIN[:20]))
    bound = several.bound(torch.as_tensor(features), _further(KEEPS, TRAIN[:20]))
    np.testing.assert_allclose(bound(SPACE.encode(TEST)).numpy(), after.value, rtol=1e-4)


def test_chosen_measurements_tell_more_than_random_ones(several):
    features, true = KEEPS.measured(SPACE.references, 3), KEEPS.true(TEST)
    chosen = []
    for _ in range(4):
        chosen += several.choose(TRAIN, features, _further(KEEPS, chosen), count=5)
    assert len(set(chosen)) == 20 and not set(chosen) & set(SPACE.references)

    def error(cells):
        return mean_relative_error(several.predict(TEST, features, _further(KEEPS, cells)).value, true)

    random = [error([TRAIN[i] for i in np.random.default_rng(s).permutation(80)[:20]]) for s in range(5)]
    assert error(chosen) < np.mean(random)


def test_nothing_is_chosen_twice_nor_more_than_there_is(several):
    features = KEEPS.measured(SPACE.references)
    assert several.choose(SPACE.references, features, count=3) == []
    assert len(several.choose(TRAIN[:4], features, _further(KEEPS, TRAIN[:2]), count=9)) == 2


def test_a_learned_device_hears_of_further_measurements(one):
    """It has become slower by a tenth where nobody looked before: many new values say so."""
    features = FAST.table("fast", TRAIN).features
    slower = Measured(TEST[:60], 1.1 * FAST.true(TEST[:60]))
    before, after = one.predict(TEST, features), one.predict(TEST, features, slower)
    assert after.value.mean() > 1.02 * before.value.mean()


def test_a_learned_device_with_few_measurements_is_helped_by_the_others(several):
    device = Device(3.0, [0.2, 1.3, 2.4, 1.0])
    few, true = device.table("few", TRAIN[:12]), device.true(TEST)
    others = [Device(1.0, [0.1 * i, 1.0, 2.0 + 0.3 * i, 1.0]).table(f"o{i}", TRAIN, i) for i in range(4)]
    alone = fit_predictor(SPACE, [few]).predict(TEST, few.features)
    helped = fit_predictor(SPACE, [few, *others]).predict(TEST, few.features)
    assert mean_relative_error(helped.value, true) < 0.7 * mean_relative_error(alone.value, true)


@pytest.mark.slow
def test_learned_devices_that_contradict_the_measurements_do_no_harm():
    """Beside devices that are unlike it, one that is like it counts as if it were alone."""
    true, references = KEEPS.true(TEST), Device(7.0, KEEPS.costs, deletes=False).measured(SPACE.references, 5)
    like = KEEPS.table("like", CELLS[:160])
    unlike = [Device(1.0, [3.0 - i, 0.1, 0.2, 2.0 + i]).table(f"u{i}", CELLS[:160], i) for i in range(4)]
    alone = spearman(fit_predictor(SPACE, [like]).predict(TEST, references).value, true)
    beside = spearman(fit_predictor(SPACE, [like, *unlike]).predict(TEST, references).value, true)
    assert beside > alone - 0.005


@pytest.mark.parametrize("few", [True, False], ids=["described", "learned"])
def test_values_known_to_be_uncertain_count_less(several, one, few):
    """A third of the values is far off: told so, the predictor does not believe them."""
    predictor, device = (several, SLOW) if few else (None, FAST)
    cells = CELLS[:24]
    values = device.measured(cells, 2)
    values[::3] *= 2
    uncertain = np.where(np.arange(24) % 3 == 0, values, 0)
    true = device.true(TEST)

    def error(deviations):
        if predictor is None:
            table = DeviceTable("fast", device.measured(SPACE.references, 1), cells, values, deviations)
            return mean_relative_error(
                fit_predictor(SPACE, [table]).predict(TEST, table.features).value, true
            )
        measured = Measured(cells, values, deviations)
        features = device.measured(SPACE.references, 1)
        return mean_relative_error(predictor.predict(TEST, features, measured).value, true)

    assert error(uncertain) < 0.5 * error(None)


@pytest.mark.parametrize(
    ("values", "deviations"),
    [([1.0], None), ([1.0, -1.0], None), ([1.0, 2.0], [0.1]), ([1.0, 2.0], [0.1, -1])],
)
def test_unusable_further_measurements_are_refused(one, values, deviations):
    with pytest.raises(ValueError, match="the device: "):
        one.predict(TEST, GOOD, Measured(TEST[:2], values, deviations))


def test_a_predictor_of_the_older_format_is_read(several):
    """It held one calibration and what the learned devices say of the references."""
    tensors, description = to_state(several)
    older = {
        **tensors,
        "quantile": torch.tensor(1.7, dtype=torch.float64),
        "at_references": torch.zeros(10, len(description["rows"]), dtype=torch.float64),
    }
    restored = from_state(SPACE, older, {**description, "format": 2})
    features = SLOW.measured(SPACE.references)
    for field in ("value", "lower", "upper"):
        np.testing.assert_allclose(
            getattr(restored.predict(TEST, features), field),
            getattr(several.predict(TEST, features), field),
            rtol=1e-6,
        )


@pytest.mark.parametrize("rows", [60, 160], ids=["beside-others", "alone"])
def test_what_a_device_was_fitted_on_does_not_count_twice(rows):
    table = FAST.table("fast", CELLS[:rows])
    predictor = fit_predictor(SPACE, [table, SLOW.table("slow", TRAIN)])
    once = predictor.predict(TEST, table.features)
    twice = predictor.predict(TEST, table.features, Measured(table.architectures, table.values))
    np.testing.assert_allclose(twice.upper - twice.lower, once.upper - once.lower, rtol=1e-6)
    np.testing.assert_allclose(twice.value, once.value, rtol=1e-6)
