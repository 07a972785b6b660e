"""`benchmark fbnet`: latency on devices that a predictor was not fitted on, many of another kind.

Source of the splits: Akhauri and Abdelfattah, "On Latency Predictors for Neural Architecture Search", 2024;
of HELP's: Lee et al., 2021.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from harness.bench.rows import Row, rows_of_seeds
from harness.core.errors import UsageError
from harness.datasets.fbnet import FBNetTables, Split, load
from modnas.prediction import DeviceTable, MetaPredictor, Prediction, fit_predictor, metrics
from modnas.prediction.choosing import measure_chosen
from modnas.prediction.meta import combine
from modnas.spaces import Architecture

Floats = NDArray[np.float64]
_KNOWN = 900  # networks of each training device
_MEASURED = 20  # of a test device, the references included, where more than these are measured
_CANDIDATES = 300
_JUDGED = 2000
_PENALTIES = np.logspace(-3, 4, 15)


class Networks:
    """The tables with one seed's division of the networks, and models of each device fitted on 900 of it."""

    def __init__(self, tables: FBNetTables, seed: int) -> None:
        self.tables, self.seed = tables, seed
        order = np.random.default_rng(seed).permutation(len(tables.architectures))
        self.known, rest = order[:_KNOWN], order[_KNOWN:]
        self.candidates = [tables.architectures[i] for i in rest[:_CANDIDATES]]
        self.judged = rest[_CANDIDATES : _CANDIDATES + _JUDGED]
        self.index = {a: i for i, a in enumerate(tables.architectures)}
        self.onehot = np.asarray(tables.space.encode(tables.architectures).double())
        self._alone: dict[str, MetaPredictor] = {}
        self._linear: dict[str, Floats] = {}

    def references(self, device: str) -> Floats:
        return self.tables.latency_ms[device][list(self.tables.references)]

    def values(self, device: str, networks: Sequence[Architecture]) -> Floats:
        return self.tables.latency_ms[device][[self.index[n] for n in networks]]

    def alone(self, device: str) -> MetaPredictor:
        """Fitted on the one device."""
        if device not in self._alone:
            some = [self.tables.architectures[i] for i in self.known]
            table = DeviceTable(device, self.references(device), some, self.values(device, some))
            self._alone[device] = fit_predictor(self.tables.space, [table], seed=self.seed)
        return self._alone[device]

    def linear(self, device: str) -> Floats:
        """What a linear model of the device says of all networks."""
        if device not in self._linear:
            latency_ms = self.tables.latency_ms[device][self.known]
            model = RidgeCV(_PENALTIES).fit(self.onehot[self.known], latency_ms)
            self._linear[device] = np.asarray(model.predict(self.onehot), np.float64)
        return self._linear[device]


def predictor(tables: FBNetTables, seed: int) -> Iterator[Row]:
    """Rows by split (`group`) and test device: `spearman`, `hit_rate` (within 10 %) and, for the processes,
    `coverage` (share inside the 90 % interval), on 2,000 networks that nothing was fitted on.

    Methods: `references` is the MetaPredictor with the ten references, `chosen` with ten more that it chooses
    of 300. Beside them `ridge-random`, a ridge regression on twenty random networks, on linear models of the
    training devices and option counts; `own`, the MetaPredictor's regression fitted on 900 networks of the
    device itself, and `own-linear`, a linear one: what more measurements could reach.
    """
    networks = Networks(tables, seed)
    for name, split in tables.splits.items():
        began = time.monotonic()
        fitted = combine([networks.alone(device) for device in split.train], seed=seed)
        for device in split.test:
            for method, figures in _figures(networks, split, device, fitted):
                for metric, value in figures.items():
                    seconds = time.monotonic() - began
                    yield Row("predictor", method, device, name, seed, metric, value, None, seconds)


def _figures(
    networks: Networks, split: Split, device: str, fitted: MetaPredictor
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each method on one device."""
    references = networks.references(device)
    chosen = measure_chosen(
        fitted,
        references,
        networks.candidates,
        lambda some: dict(zip(some, networks.values(device, some).tolist(), strict=True)),
        _MEASURED - len(references),
    )
    judged = [networks.tables.architectures[i] for i in networks.judged]
    guesses: dict[str, Prediction | Floats] = {
        "references": fitted.predict(judged, references),
        "chosen": fitted.predict(judged, references, chosen),
        "ridge-random": _ridge(networks, split, device)[networks.judged],
        "own": networks.alone(device).predict(judged, references),
        "own-linear": networks.linear(device)[networks.judged],
    }
    true = networks.values(device, judged)
    for method, guess in guesses.items():
        values = guess.value if isinstance(guess, Prediction) else guess
        figures = {"spearman": metrics.spearman(values, true), "hit_rate": metrics.hit_rate(values, true)}
        if isinstance(guess, Prediction):
            figures["coverage"] = float(((guess.lower <= true) & (true <= guess.upper)).mean())
        yield method, figures


def _ridge(networks: Networks, split: Split, device: str) -> Floats:
    """What a ridge regression on twenty random networks says of all."""
    counts = networks.onehot.reshape(len(networks.onehot), len(networks.tables.space.options), -1).sum(1)
    inputs = np.column_stack([*(networks.linear(d) for d in split.train), counts])
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    known = np.random.default_rng(1000 + networks.seed).permutation(networks.known)[:_MEASURED]
    model = RidgeCV(_PENALTIES).fit(inputs[known], networks.tables.latency_ms[device][known])
    return np.asarray(model.predict(inputs), np.float64)


def run(data: Path, experiment: str, seeds: int) -> list[Row]:
    """Run an experiment with seeds 0 to `seeds` - 1 and return its rows.

    Raises UsageError for an unknown experiment, when `data` holds no tables, or without the space's package.
    """
    if experiment != "predictor":
        raise UsageError(f"no experiment {experiment!r}; known: predictor")
    return rows_of_seeds([predictor], load(data), seeds)
