"""What measuring while a search runs is worth, on NAS-Bench-201's search devices, left out in turn.

    python benchmarks/in_the_loop.py --data DIR [--seeds 2] [--counts 10 30] [--profiled 80]

A third of the search devices at a time is left out: predictors and surrogate know the others, these only by
their ten references, and with `--profiled` by as many random networks besides. One search on them measures no
more, others 10 or 30 networks of each device: while they run (`loop`), or before, drawn at random (`random`)
or chosen by the predictor because they tell most of the whole space (`chosen`). Fronts are judged by the true
tables (share of the exact front's hypervolume), the predictor on the neighbourhood of the true front: the
cells of the exact front and all that are one change away, without those measured. Errors are medians
of the relative ones; `front error` is of what is proposed at last, measured or not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from tabulate import tabulate
from torch import Tensor

from harness.bench.modnas_method import CONFIG, Models, fit_models
from harness.bench.problem import Problem
from harness.datasets import nasbench201
from harness.runs.predictors import known_sample, range_sample
from modnas.prediction import Measured, MetaPredictor, metrics
from modnas.prediction.choosing import candidates, measure_chosen
from modnas.prediction.gaussian_process import NORMAL_QUANTILE, Features
from modnas.prediction.meta import Further
from modnas.prediction.transfer import View
from modnas.search import Search, SearchDevice
from modnas.search.devices import Predict
from modnas.search.in_the_loop import next_networks, schedule
from modnas.search.indicators import non_dominated
from modnas.spaces import Architecture

METRIC = "latency"
PARTS = 3
FIGURES = ("hypervolume", "Spearman", "within 10 %", "error %", "front error %", "measured", "seconds")
Known = dict[str, dict[Architecture, float]]


def neighbourhood(problem: Problem, device: str) -> list[Architecture]:
    """The cells of the exact front and all that are one change away."""
    points = problem.scaled(device)
    good = np.flatnonzero(points[:, 0] <= 1)
    front = [problem.cells[i] for i in good[non_dominated(points[good])]]
    around = (near for cell in front for near in problem.space.variations(cell))
    return list(dict.fromkeys([*front, *around]))


class Tabled:
    """The MetaPredictor with what its learned devices say of every cell asked once.

    Args:
        names: devices that they are not.
    """

    def __init__(self, problem: Problem, predictor: MetaPredictor, names: Sequence[str]) -> None:
        self.problem, self.predictor = problem, predictor
        onehot = problem.space.encode(problem.cells)
        self.order = torch.empty(len(problem.cells), dtype=torch.int64)
        self.order[self.codes(onehot)] = torch.arange(len(problem.cells))
        features = Features.of(problem.space, onehot)
        model = predictor.described(problem.references(names[0]))
        with torch.no_grad():
            parts = [
                model.learned.view(features.rows(some), model.members)
                for some in torch.arange(len(onehot)).split(2000)
            ]
        self.view = View(*map(torch.cat, zip(*parts, strict=True)))

    def codes(self, onehot: Tensor) -> Tensor:
        """A number for each cell."""
        return onehot.view(len(onehot), 6, 5).argmax(2) @ 5 ** torch.arange(6)

    @torch.no_grad()
    def bound(self, device_features: Tensor, further: Further | None = None) -> Predict:
        """As `MetaPredictor.bound`, without gradients."""
        values = self.predictor.described(device_features, further).transfer.values(self.view).float()
        return lambda onehot: values[self.order[self.codes(onehot)]]

    @torch.no_grad()
    def deviations(
        self, references: NDArray[np.float64], further: Measured | None, cells: Sequence[Architecture]
    ) -> NDArray[np.float64]:
        """Standard deviations of measurements, (n,), ms."""
        model = self.predictor.described(references, further)
        some = torch.tensor(self.problem.indices(cells))
        view = View(*(part[some] for part in self.view))
        deviations: NDArray[np.float64] = (
            model.transfer.deviations(view) * model.quantile / NORMAL_QUANTILE
        ).numpy()
        return deviations


class LeftOut:
    """Searches on devices that are known by their references, and by what is measured of them besides."""

    def __init__(
        self, problem: Problem, models: Models, names: Sequence[str], seed: int, profiled: int = 0
    ) -> None:
        self.profile = known_sample(problem.space, profiled, seed)[len(problem.space.references) :]
        self.problem, self.models, self.names, self.seed = problem, models, names, seed
        self.predictor = models.predictors[METRIC]
        self.tabled = Tabled(problem, self.predictor, names)
        self.sample = problem.space.encode(range_sample(problem.space, seed))

    def latencies(self, name: str, cells: Sequence[Architecture]) -> dict[Architecture, float]:
        values = self.problem.tables.latency_ms[name][self.problem.indices(cells)]
        return dict(zip(cells, values.tolist(), strict=True))

    def further(self, known: dict[Architecture, float]) -> Measured | None:
        return Measured(list(known), list(known.values())) if known else None

    def device(self, name: str, known: dict[Architecture, float]) -> SearchDevice:
        references = {METRIC: self.problem.references(name)}
        return SearchDevice.known(
            name, references, {METRIC: self.tabled}, self.sample, further={METRIC: self.further(known)}
        )

    def measured(self, way: str, count: int) -> Known:
        """What is measured before the search."""
        space = self.problem.space
        known = {name: self.latencies(name, self.profile) for name in self.names}
        if way == "random":
            drawn = space.sample(count, torch.Generator().manual_seed(50_000 + self.seed))
            return {name: {**known[name], **self.latencies(name, drawn)} for name in self.names}
        if way != "chosen":
            return known
        for name in self.names:
            among = candidates(space, self.seed)
            found = measure_chosen(
                self.predictor,
                self.problem.references(name),
                among,
                lambda some, name=name: self.latencies(name, some),  # type: ignore[misc]
                count,
            )
            known[name] |= self.latencies(name, found.architectures)
        return known

    def search(self, way: str, count: int) -> Iterator[tuple[str, list[float]]]:
        """The figures of each device."""
        began = time.monotonic()
        known = self.measured(way, count)
        devices = {name: self.device(name, known[name]) for name in self.names}
        due = schedule(CONFIG.epochs, count) if way == "loop" else {}

        def measure(search: Search) -> None:
            if search.epoch not in due:
                return
            for device in search.devices:
                known[device.name] |= self.latencies(
                    device.name, self.next(search, device, known[device.name], due[search.epoch])
                )
            search.renew([self.device(name, known[name]) for name in self.names])

        models = replace(self.models, devices=devices)
        search = models.search(self.names, replace(CONFIG, seed=self.seed), before_epoch=measure)
        models = replace(models, devices={device.name: device for device in search.devices})
        fronts = models.kept(search, models.evaluated)
        seconds = time.monotonic() - began
        for name in self.names:
            volume = self.problem.judge(name, fronts[name])["hypervolume_ratio"]
            off = self.relative(name, known[name], fronts[name])
            figures = [*self.predicted(name, known[name]), float(100 * np.median(np.abs(off)))]
            yield name, [volume, *figures, len(known[name]), seconds]

    def next(
        self, search: Search, device: SearchDevice, known: dict[Architecture, float], target: int
    ) -> list[Architecture]:
        """Which networks bring what is measured to `target`."""
        references = self.problem.references(device.name)

        def deviations(some: Sequence[Architecture]) -> NDArray[np.float64]:
            return self.tabled.deviations(references, self.further(known), some)[:, None]

        reader = self.models.reader(search, self.models.evaluated)
        all_known = {**self.latencies(device.name, self.problem.space.references), **known}
        measured = {a: (value,) for a, value in all_known.items()}
        count = target - (len(known) - len(self.profile))
        return next_networks(reader, device, deviations, measured, count, others=[*measured], plain=False)

    def relative(
        self, name: str, known: dict[Architecture, float], cells: Sequence[Architecture]
    ) -> NDArray[np.float64]:
        """By how much predictions of cells are off, relative, (n,)."""
        guess = self.predictor.predict(cells, self.problem.references(name), self.further(known)).value
        return np.asarray(guess / np.array(list(self.latencies(name, cells).values())) - 1)

    def predicted(self, name: str, known: dict[Architecture, float]) -> list[float]:
        """Figures of the predictor on the neighbourhood of the true front."""
        judged = [cell for cell in neighbourhood(self.problem, name) if cell not in known]
        true = np.array(list(self.latencies(name, judged).values()))
        guess = self.predictor.predict(judged, self.problem.references(name), self.further(known)).value
        off = 100 * np.median(np.abs(self.relative(name, known, judged)))
        return [metrics.spearman(guess, true), metrics.hit_rate(guess, true), float(off)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nb201/")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--profiled", type=int, default=0, help="random networks measured of each device")
    parser.add_argument("--rows", type=Path, help="file for one line of JSON a device, way and seed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem(nasbench201.load(arguments.data))
    ways = [("references", 0), *((w, c) for c in arguments.counts for w in ("random", "chosen", "loop"))]
    found: dict[str, list[list[float]]] = {}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for part in range(PARTS):
            left = problem.search_devices[part::PARTS]
            others = [name for name in problem.search_devices if name not in left]
            searches = LeftOut(problem, fit_models(problem, seed, others), left, seed, arguments.profiled)
            for way, count in ways:
                for device, figures in searches.search(way, count):
                    found.setdefault(f"{way} {count}".removesuffix(" 0"), []).append(figures)
                    if arguments.rows:
                        row = {"way": way, "count": count, "seed": seed, "device": device}
                        with arguments.rows.open("a") as file:
                            file.write(json.dumps({**row, **dict(zip(FIGURES, figures, strict=True))}) + "\n")
    rows = [
        [way, *map(fmean, zip(*figures, strict=True)), min(row[0] for row in figures)]
        for way, figures in found.items()
    ]
    print(tabulate(rows, headers=["", *FIGURES, "least hypervolume"], floatfmt=".4f"))


if __name__ == "__main__":
    main()
