"""MODNAS on HAT's tables: latency by the tables' predictors, BLEU by the surrogate of published networks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from harness.bench.hat_bleu import BleuSurrogate
from harness.bench.rows import Row
from harness.bench.table_search import TableModels, read_off
from harness.datasets.hat import SEARCH_DEVICES, UNSEEN_DEVICES, Floats, HatTables
from harness.runs.predictors import range_sample
from modnas.baselines import hat as evolution
from modnas.prediction.averages import AveragesPredictor, fit_with_drift
from modnas.search import SearchConfig, SearchDevice, indicators
from modnas.spaces import Architecture
from modnas.spaces.transformer import Transformer

FRONT_SIZE = 24
DEVICES = (*SEARCH_DEVICES, *UNSEEN_DEVICES)
CONFIG = SearchConfig(
    hypernetwork="conditioned",
    learning="imitation",
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    tables=Transformer.tables,
    front_size=FRONT_SIZE,
    cosine_penalty=0.0,
)


@dataclass(frozen=True)
class HatProblem:
    """The models that stand in for devices and trainings: `latency` by device, and `bleu`.

    `search`: settings of MODNAS.
    """

    space: Transformer
    tables: HatTables
    latency: dict[str, AveragesPredictor]
    bleu: BleuSurrogate
    search: SearchConfig = CONFIG

    @classmethod
    def fit(cls, tables: HatTables) -> HatProblem:
        """Fit on all rows of each table and on all of HAT's published networks."""
        space = Transformer()
        latency = {
            device: fit_with_drift(table.features, table.latency_ms, np.arange(len(table.latency_ms)))[0]
            for device, table in tables.tables.items()
        }
        hat = [p for p in tables.published if p.source == "hat"]
        return cls(space, tables, latency, BleuSurrogate(space, hat))

    def latency_ms(self, device: str, samples: Tensor) -> Tensor:
        """What the device's table says of one-hot rows: (n, width) -> (n,), float64, differentiable."""
        return self.latency[device](self.space.average_features(samples))

    @torch.no_grad()
    def error(self, architectures: Sequence[Architecture]) -> Floats:
        """100 - BLEU by the surrogate, (n,)."""
        errors: Floats = self.bleu.losses(self.space.encode(architectures), None).double().numpy()
        return errors

    @torch.no_grad()
    def points(self, device: str, architectures: Sequence[Architecture]) -> Floats:
        """100 - BLEU and latency by the models, (n, 2)."""
        latency = self.latency_ms(device, self.space.encode(architectures)).numpy()
        return np.column_stack([self.error(architectures), latency])

    def published(self, source: str) -> list[Architecture]:
        """The networks that a paper publishes for WMT'14 En-De."""
        return [self.space.from_plan(p.plan) for p in self.tables.of_task(source)]


def known_latency(problem: HatProblem, device: str) -> dict[str, float] | None:
    """For an unseen device, how its references mix those of the search devices; None for a search device.

    Shares of the search devices and of a constant, none negative, by least squares in relative error on the
    ten references: all that may be known of it.
    """
    if device in SEARCH_DEVICES:
        return None
    references = problem.space.encode(problem.space.references)
    with torch.no_grad():
        own = problem.latency_ms(device, references).numpy()
        others = [problem.latency_ms(name, references).numpy() for name in SEARCH_DEVICES]
    shares, _ = nnls(np.stack([*others, np.ones_like(own)], 1) / own[:, None], np.ones_like(own))
    return dict(zip([*SEARCH_DEVICES, "constant"], shares.tolist(), strict=True))


def search_device(problem: HatProblem, device: str) -> SearchDevice:
    """A device as the search sees it; an unseen one through `known_latency`."""
    shares = known_latency(problem, device)

    def predict(samples: Tensor) -> Tensor:
        if shares is None:
            values = problem.latency_ms(device, samples)
        else:
            parts = [shares[name] * problem.latency_ms(name, samples) for name in SEARCH_DEVICES]
            values = torch.stack(parts).sum(0) + shares["constant"]
        return values.to(samples.dtype).unsqueeze(1)

    sample = range_sample(problem.space, 0)
    with torch.no_grad():
        references = problem.latency_ms(device, problem.space.encode(problem.space.references))
    return SearchDevice.predicted(device, {"latency": references}, predict, problem.space.encode(sample))


def fit_models(problem: HatProblem) -> TableModels:
    """What a search on the tables asks; the errors' range is that of a sample of the space."""
    errors = problem.error(range_sample(problem.space, 0))
    bounds = float(errors.min()), float(errors.max())
    devices = {name: search_device(problem, name) for name in DEVICES}
    return TableModels(problem.space, devices, problem.bleu, problem.error, bounds)


def evolve(problem: HatProblem, device: SearchDevice, seed: int) -> list[Architecture]:
    """HAT's evolutionary search on the models, under bounds evenly spaced over a sample's latencies."""
    bounds = np.linspace(float(device.low[0]), float(device.high[0]), FRONT_SIZE).tolist()
    found = evolution.search(
        problem.space,
        lambda onehot: problem.bleu.losses(onehot, None),
        lambda onehot: device.predict(onehot)[:, 0],
        bounds,
        seed=seed,
    )
    return list(dict.fromkeys(found))


def fronts(problem: HatProblem, seed: int) -> dict[str, tuple[dict[str, list[Architecture]], float]]:
    """Each method's architectures by device, and its seconds."""
    began = time.monotonic()
    models = fit_models(problem)
    search = models.search(SEARCH_DEVICES, replace(problem.search, seed=seed))
    read = {name: read_off(search, device) for name, device in models.devices.items()}
    searched = time.monotonic() - began
    better = {
        name: models.refined(name, search.proposals(device), FRONT_SIZE)
        for name, device in models.devices.items()
    }
    refined = time.monotonic() - began
    began = time.monotonic()
    evolved = {name: evolve(problem, device, seed) for name, device in models.devices.items()}
    evolving = time.monotonic() - began
    randoms = problem.space.sample(FRONT_SIZE, torch.Generator().manual_seed(10_000 + seed))
    return {
        "modnas": (better, refined),
        "modnas-readoff": (read, searched),
        "hat": (evolved, evolving),
        "rs": (dict.fromkeys(DEVICES, randoms), 0.0),
        "hat-published": (dict.fromkeys(DEVICES, problem.published("hat")), 0.0),
        "help-published": (dict.fromkeys(DEVICES, problem.published("help")), 0.0),
    }


def reference_box(problem: HatProblem, device: str) -> tuple[Floats, Floats]:
    """Ideal and worst point of the hypervolume: of the published networks, the worst a tenth further away."""
    points = problem.points(device, [*problem.published("hat"), *problem.published("help")])
    low, high = points.min(0), points.max(0)
    return low, high + 0.1 * (high - low)


def run(problem: HatProblem, seed: int) -> Iterator[Row]:
    """Hypervolume of every method's set on every device.

    `hypervolume`: all by the models. `hypervolume_pessimistic`: the BLEU of a method's set, not of the
    published networks, lowered by the surrogate's leave-one-out error. `hypervolume_published_bleu`: the
    published networks with the BLEU that was measured. Box: see `reference_box`; what is better than the
    published ideal in an objective counts in full.
    """
    error = surrogate_error(problem)
    for method, (sets, seconds) in fronts(problem, seed).items():
        published = method.endswith("-published")
        for device, architectures in sets.items():
            points = problem.points(device, architectures)
            other = points.copy()
            if published:
                other[:, 0] = [
                    100 - p.bleu for p in problem.tables.of_task(method.removesuffix("-published"))
                ]
            else:
                other[:, 0] += error
            name = "hypervolume_published_bleu" if published else "hypervolume_pessimistic"
            low, high = reference_box(problem, device)
            for metric, values in (("hypervolume", points), (name, other)):
                yield Row(
                    experiment="main",
                    method=method,
                    device=device,
                    group="search" if device in SEARCH_DEVICES else "unseen",
                    seed=None if published else seed,
                    metric=metric,
                    value=indicators.hypervolume(indicators.scale(values, low, high)),
                    evaluations=None,
                    seconds=seconds,
                )


def surrogate_error(problem: HatProblem) -> float:
    """Mean absolute leave-one-out error of the surrogate on the networks of WMT'14 En-De, in BLEU."""
    mine = np.array([p.task == "wmt14.en-de" for p in problem.bleu.published])
    return float(np.abs(problem.bleu.leave_one_out()[mine]).mean())
