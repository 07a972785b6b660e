"""The experiments on HAT's published data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from harness.bench import hat, hat_predictor, hat_search
from harness.bench.hat_bleu import BleuSurrogate
from harness.bench.hat_search import HatProblem
from harness.bench.rows import Row
from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets.hat import load
from modnas.prediction.averages import fit_averages, fit_with_drift
from modnas.prediction.paper_network import PaperNetwork, fit_paper_network
from modnas.search import indicators
from modnas.spaces.transformer import Transformer
from modnas.spaces.transformer.plan import hat_features

pytestmark = pytest.mark.trains

SPACE = Transformer()


@pytest.fixture(scope="module")
def problem(data_dir: Path) -> HatProblem:
    return HatProblem.fit(load(data_dir))


def values(rows: Iterable[Row], method: str, metric: str) -> dict[str, float]:
    return {row.device: row.value for row in rows if (row.method, row.metric) == (method, metric)}


def made_up(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of sampled networks and a latency that is a sum over what they do."""
    sample = SPACE.sample(count, torch.Generator().manual_seed(seed))
    features = np.array([hat_features(SPACE.plan(a)) for a in sample])
    e, layers, e_ffn, _, d, depth, d_ffn, *_ = features.T
    return features, 1e-5 * layers * e * (2048 + 2 * e_ffn) / 10 + 1e-4 * depth * d * (3072 + 2 * d_ffn) / 10


def test_a_latency_that_is_a_sum_over_layers_is_found():
    features, latency = made_up(400, 0)
    predictor = fit_averages(features[:300], latency[:300])
    guess = predictor(torch.from_numpy(features[300:])).numpy()
    assert np.abs(guess / latency[300:] - 1).max() < 0.02


def test_a_device_that_slowed_down_for_a_while_is_seen():
    features, latency = made_up(400, 1)
    speed = np.ones(400)
    speed[150:250] = 1.4
    known = np.random.default_rng(0).permutation(400)[:320]
    predictor, factors = fit_with_drift(features, latency * speed, known)
    assert np.median(np.abs(factors / speed - 1)) < 0.02
    assert np.median(np.abs(predictor(torch.from_numpy(features)).numpy() / latency - 1)) < 0.02


def test_the_factor_of_a_row_does_not_come_from_the_row_itself():
    features, latency = made_up(200, 2)
    everything = np.arange(200)
    once = latency.copy()
    once[100] *= 5
    assert fit_with_drift(features, once, everything)[1][100] < 1.2


def test_the_paper_network_learns_a_device_by_its_vector():
    generator = torch.Generator().manual_seed(0)
    inputs, vectors = torch.rand(600, 5, generator=generator), torch.rand(600, 10, generator=generator)
    true = inputs.sum(1) * (0.5 + vectors[:, 0])
    scaled = (true - true.mean()) / true.std()
    network = fit_paper_network(inputs[:500], vectors[:500], scaled[:500], epochs=15)
    assert isinstance(network, PaperNetwork)
    with torch.no_grad():
        guess = network(inputs[500:], vectors[500:])
    assert float(torch.corrcoef(torch.stack([guess, scaled[500:]]))[0, 1]) > 0.9


@pytest.mark.slow
def test_held_out_rows_are_predicted(problem: HatProblem, monkeypatch: pytest.MonkeyPatch):
    """On the average over what is held out: the throttled rows weigh more or less in it."""
    monkeypatch.setattr(hat_predictor, "_paper_network", lambda *_: iter(()))
    rows = [row for seed in range(4) for row in hat_predictor.run(problem, seed)]

    def spearman(method: str) -> dict[str, float]:
        return {
            device: fmean(
                row.value
                for row in rows
                if (row.method, row.metric, row.device) == (method, "spearman", device)
            )
            for device in hat_search.DEVICES
        }

    with_drift, alone = spearman("averages-drift"), spearman("averages")
    assert min(with_drift.values()) >= 0.97
    # The Raspberry Pi was throttled for a third of its rows, which no architecture tells.
    assert 0.94 < alone["cpu_raspberrypi"] < with_drift["cpu_raspberrypi"]
    assert alone["cpu_xeon"] > 0.97 and alone["gpu_titanxp"] > 0.96


def test_the_surrogate_knows_published_networks_it_has_not_seen(problem: HatProblem):
    error = hat_search.surrogate_error(problem)
    spread = np.std([p.bleu for p in problem.tables.of_task("hat")])
    assert error < 0.3 < 0.5 * spread


def test_the_surrogate_has_a_gradient_and_is_cheap_for_many(problem: HatProblem):
    surrogate: BleuSurrogate = problem.bleu
    samples = SPACE.encode(SPACE.references).requires_grad_()
    losses = surrogate.losses(samples, None)
    assert losses[0] < losses[1], "the largest network translates better than the smallest"
    losses.sum().backward()
    assert samples.grad is not None and samples.grad.isfinite().all()
    alone = [surrogate.error(sample) for sample in samples.detach()]
    assert alone == pytest.approx(losses.tolist())


def test_an_unseen_device_is_known_by_its_references(problem: HatProblem):
    assert hat_search.known_latency(problem, "cpu_xeon") is None
    shares = hat_search.known_latency(problem, "cpu_raspberrypi")
    assert shares is not None and min(shares.values()) >= 0
    device = hat_search.search_device(problem, "cpu_raspberrypi")
    samples = SPACE.encode(SPACE.references)
    true = problem.latency_ms("cpu_raspberrypi", samples)
    assert torch.allclose(device.predict(samples)[:, 0].double(), true, rtol=0.35)


@pytest.mark.slow
def test_evolution_finds_networks_under_bounds_that_beat_random_ones(problem: HatProblem):
    device = hat_search.search_device(problem, "cpu_xeon")
    found = hat_search.evolve(problem, device, 0)
    assert 12 <= len(found) <= hat_search.FRONT_SIZE
    low, high = hat_search.reference_box(problem, "cpu_xeon")
    randoms = problem.space.sample(24, torch.Generator().manual_seed(0))
    evolved, drawn = (
        indicators.hypervolume(indicators.scale(problem.points("cpu_xeon", some), low, high))
        for some in (found, randoms)
    )
    assert evolved > drawn


@pytest.mark.slow
def test_a_short_search_reaches_beyond_published_networks(problem: HatProblem):
    short = replace(problem.search, epochs=2, steps_per_epoch=10)
    rows = list(hat_search.run(replace(problem, search=short), 0))
    found = values(rows, "modnas", "hypervolume")
    for device in hat_search.DEVICES:
        for method in ("hat-published", "help-published", "rs"):
            assert found[device] >= values(rows, method, "hypervolume")[device]
    assert all(row.value >= 0 for row in rows) and {row.group for row in rows} == {"search", "unseen"}


def test_the_command_gives_rows(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(hat.EXPERIMENTS, "main", lambda problem, seed: hat_search_row())
    assert main(["benchmark", "hat", "--data", str(data_dir), "--experiment", "main", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["experiment"] == "main" and {"method", "device", "seed", "metric", "value"} <= set(row)


def hat_search_row() -> Iterable[Row]:
    row = {"experiment": "main", "method": "m", "device": "d", "group": "search", "seed": 0}
    return [Row(**row, metric="hypervolume", value=1.0, evaluations=None, seconds=0.0)]


def test_wrong_use(tmp_path: Path, data_dir: Path):
    with pytest.raises(UsageError, match="dataset fetch hat"):
        hat.run(tmp_path, "main", 1)
    with pytest.raises(UsageError, match="known: main"):
        hat.run(data_dir, "nope", 1)
