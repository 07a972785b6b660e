"""A search from its configuration: devices to predictors, predictors to a search, the search to fronts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.core.errors import ModnasHwError
from harness.datasets.training_sets import UNITS, Features, device_features, device_table, device_values
from harness.devices.table import table_origin
from harness.runs.inputs import content_at_first, opened, require_content, require_tables
from harness.runs.run import REFERENCES, Run, TaskAndSpace
from harness.runs.starting_weights import start_from
from harness.runs.surrogate import load_run_surrogate
from harness.store import Store
from modnas.core.task import TaskLoss
from modnas.prediction import DeviceTable, MetaPredictor, fit_predictor, from_state, to_state
from modnas.prediction.holdout import judge_on_holdout
from modnas.search import Search, SearchConfig
from modnas.search.front import distinct
from modnas.search.objectives import SearchDevice
from modnas.search.refinement import choose, local_search
from modnas.search.stats import EpochStats, Validation
from modnas.spaces import Architecture, Space, Supernetwork
from modnas.tasks import AnyTask

# How many architectures of the space give a metric's minimum and maximum on a device.
RANGE_SAMPLE = 1000


@dataclass
class SearchRun:
    """A run with its space, task and MetaPredictors, ready to be searched or read."""

    run: Run
    space: Space
    task: AnyTask
    predictors: dict[str, MetaPredictor]
    supernetwork: Supernetwork | None
    search: Search

    def front(self, store: Store, device: str, preferences: int | None = None) -> list[dict[str, Any]]:
        """The front of a device: as the search wrote it down, or read now for one that it did not search, or
        for another number of preferences.
        """
        written = written_front(self.run, device, preferences)
        return self.read_front(store, device, preferences) if written is None else written

    def read_front(self, store: Store, device: str, preferences: int | None = None) -> list[dict[str, Any]]:
        """The front of any device whose reference architectures are measured, searched or not.

        Each entry has `arch`, `preference` and `predicted` with `error` (percent, on the validation split,
        by the supernetwork or the accuracy surrogate) and one value a hardware metric. Every architecture
        occurs once, so there may be fewer than the `preferences` asked for (else the preset's `front_size`).
        """
        target = _search_device(self.run, self.space, self.predictors, store, device)
        points = self.search.front(target.features, preferences)

        def score(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
            return self._objectives(target, architectures)

        if self.run.config.settings.refine:
            start = [point.architecture for point in points]
            found, values = local_search(self.space, start, score, self.run.config.settings.refine)
            points = choose(found, values, torch.tensor([point.preference for point in points]))
        points = distinct(points)
        names = ["error", *(f"{metric}_{UNITS[metric]}" for metric in self.predictors)]
        values = score([point.architecture for point in points])
        for point, row in zip(points, values, strict=True):
            sample = self.space.encode([point.architecture])[0].to(self.run.config.accelerator)
            row[0] = self.search.task_loss.error(sample)
        return [
            {
                "arch": point.architecture.id,
                "preference": [round(r, 6) for r in point.preference],
                "predicted": dict(zip(names, row, strict=True)),
            }
            for point, row in zip(points, values.tolist(), strict=True)
        ]

    @torch.no_grad()
    def _objectives(self, target: SearchDevice, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Validation loss and predicted hardware metrics of architectures on a device, (n, M).

        The loss, not the error: where networks make few mistakes it still tells them apart.
        """
        samples = self.space.encode(architectures).to(self.run.config.accelerator)
        if self.supernetwork is not None:
            self.supernetwork.eval()  # dropout would tell architectures apart by chance
        losses = [
            [fmean(float(self.search.task_loss.loss(sample, batch)) for batch in self.task.validation)]
            for sample in samples
        ]
        return np.concatenate([losses, target.predict(samples).double().cpu().numpy()], axis=1)


def written_front(run: Run, device: str, preferences: int | None = None) -> list[dict[str, Any]] | None:
    """The front of a device as the search wrote it down; None if it did not, or not with `preferences`."""
    if preferences not in (None, run.config.settings.front_size) or not run.has("front.json"):
        return None
    found: list[dict[str, Any]] | None = run.read_json("front.json")["devices"].get(device)
    return found


def hardware_metrics(run: Run) -> list[str]:
    """The objectives that devices are measured for."""
    return [objective for objective in run.config.objectives if objective != "error"]


def profile_sample(run: Run, space: Space) -> list[Architecture]:
    """The architectures a device is measured on for a run: the references, then a fixed random sample."""
    generator = torch.Generator().manual_seed(1 + run.config.seed)
    sample = space.sample(run.config.settings.profile_archs, generator)
    return list(dict.fromkeys([*space.references, *sample]))


def fit_predictors(run: Run, space: Space, store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """Fit one MetaPredictor a metric on the run's devices; figures by metric and device.

    The predictor that is kept is fitted on everything, the figures come from one fitted without a holdout.
    """
    report: dict[str, dict[str, dict[str, float]]] = {}
    references: dict[str, dict[str, list[float]]] = {}
    sample, from_table = profile_sample(run, space), store.table_devices()
    for metric in hardware_metrics(run):
        tables = [
            _part_of_table(store, device, space, metric, sample)
            if device in from_table
            else device_table(store, device, space, metric)
            for device in run.config.devices
        ]
        references[metric] = {table.name: np.asarray(table.features).tolist() for table in tables}
        with _belonging_to(run):
            report[metric] = judge_on_holdout(space, tables, run.config.settings.holdout, run.config.seed)
        tensors, meta = to_state(fit_predictor(space, tables, seed=run.config.seed))
        run.save_state(f"predictor-{metric}", tensors, meta)
    run.write_json(REFERENCES, references)
    run.write_json("predictor.json", report)
    return report


def _reference_values(run: Run, store: Store, device: str, space: Space, metric: str) -> tuple[float, ...]:
    """What a device took for the reference architectures when the run's predictor was fitted; now, if it was
    not among the run's.
    """
    if run.has(REFERENCES):
        recorded: list[float] | None = run.read_json(REFERENCES).get(metric, {}).get(device)
        if recorded is not None:
            return tuple(recorded)
    return device_features(store, device, space, metric).values


def _part_of_table(
    store: Store, device: str, space: Space, metric: str, sample: list[Architecture]
) -> DeviceTable:
    """As much of a table device as would have been measured: the sample, or others where it lacks them.

    A search then uses as many values of every device, and a whole table could not be fitted.
    """
    values = device_values(store, device, space, metric)
    there = [a for a in dict.fromkeys([*sample, *values]) if a in values]
    return device_table(store, device, space, metric, there[: len(sample)])


@contextmanager
def _belonging_to(run: Run) -> Iterator[None]:
    """Turn a complaint about a part of a run into one that names the run."""
    try:
        yield
    except ValueError as error:
        raise ModnasHwError(f"run {run.name}: {error}; delete {run.path} to start it again") from error


def open_search(
    run: Run, store: Store, weights: Path | None = None, made: TaskAndSpace | None = None
) -> SearchRun:
    """A run whose predictors are fitted, its search restored from the checkpoint if there is one.

    `weights`: the file that the run starts from, if it starts from one; from the first checkpoint on that
    holds the weights. `made`: its task and space, if they have been made already.

    Raises ModnasHwError when the run is not that far, or a file of it is damaged, and UsageError when its
    data or a table are no longer those that it began with.
    """
    if not run.has("predictor.json"):
        raise ModnasHwError(f"run {run.name} has no predictor yet; run modnas-hw search to continue it")
    run = opened(run)
    config, settings = run.config, run.config.settings
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    made = made or TaskAndSpace(config)
    task, space = made.task, made.space
    require_tables(run, store, space)
    with _belonging_to(run):
        predictors = {m: from_state(space, *run.load_state(f"predictor-{m}")) for m in hardware_metrics(run)}
    place = config.accelerator
    task, predictors = task.to(place), {metric: one.to(place) for metric, one in predictors.items()}
    loss, supernetwork = _task_loss(run, space, task, weights)
    devices = [_search_device(run, space, predictors, store, name) for name in config.devices]
    search = Search(
        space,
        supernetwork,
        devices,
        train_batches=lambda epoch: task.batches(
            "train", settings.batch_size, epoch=epoch, seed=config.seed, augment=True
        ),
        valid_batches=lambda epoch: _valid_batches(run, task, epoch),
        task_loss=loss,
        config=SearchConfig(
            **{"error_bounds": (0.0, task.chance_error), **settings.search},
            front_size=settings.front_size,
            seed=config.seed,
        ),
        predict=_predict_all(run, space, predictors, store),
    )
    if run.has("checkpoint.safetensors"):
        with _belonging_to(run):
            search.restore(*run.load_state("checkpoint"))
    return SearchRun(run, space, task, predictors, supernetwork, search)


def _task_loss(
    run: Run, space: Space, task: AnyTask, weights: Path | None
) -> tuple[TaskLoss, Supernetwork | None]:
    """What the search minimises first, and the supernetwork behind it if there is one."""
    if run.config.evaluations is not None:
        with _belonging_to(run):
            return load_run_surrogate(run, space).to(run.config.accelerator), None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        supernetwork = space.supernetwork()
    if run.config.weights_sha256 is not None and not run.has("checkpoint.safetensors"):
        start_from(run.config, space, supernetwork, weights)
    supernetwork.to(run.config.accelerator)
    supernetwork.counterfactual = run.config.settings.counterfactual
    return task.supernetwork_loss(supernetwork), supernetwork


def _valid_batches(run: Run, task: AnyTask, epoch: int) -> Iterable[Any]:
    """The upper level's batches; for a surrogate, which looks at none, as many empty ones."""
    size = run.config.settings.batch_size
    if run.config.evaluations is not None:
        return itertools.repeat(None, math.ceil(task.count(("valid",)) / size))
    return task.batches("valid", size, epoch=epoch, seed=run.config.seed)


def run_search(
    state: SearchRun,
    on_epoch: Callable[[EpochStats, Validation | None], None] | None = None,
    on_warmup: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Run the epochs that are left, a checkpoint after each; the validation record of all epochs.

    `on_warmup` is told the number of warm-up epochs done after each of them.

    Killed at any moment, the next call continues after the last finished epoch to the same result.
    """
    from torch.utils.tensorboard import SummaryWriter

    run, search = state.run, state.search
    content = content_at_first(run.config)

    def save_checkpoint() -> None:
        require_content(run.config, content)
        run.save_state("checkpoint", *search.checkpoint())

    record: list[dict[str, Any]] = run.read_json("epochs.json") if run.has("epochs.json") else []
    record = record[: search.epoch]
    with SummaryWriter(str(run.path / "events"), purge_step=search.epoch) as writer:
        while not search.warm:
            search.run_warmup_epoch()
            save_checkpoint()
            if on_warmup:
                on_warmup(search.warmed)
        while not search.finished:
            stats = search.run_epoch()
            due = search.finished or search.epoch % run.config.settings.validate_every == 0
            validation = search.validate() if due else None
            record.append({**asdict(stats), "hypervolume": validation and validation.hypervolume})
            # The record first: on resuming, epochs beyond the checkpoint are cut off again.
            run.write_json("epochs.json", record)
            save_checkpoint()
            _write_events(writer, stats, validation)
            if on_epoch:
                on_epoch(stats, validation)
    return record


def write_fronts(state: SearchRun, store: Store) -> dict[str, Any]:
    """Read the front of every device of the search and write `front.json`."""
    document = {
        "space": state.space.name,
        "variant": state.space.variant,
        "best_epoch": state.search.best_epoch,
        "devices": {device: state.read_front(store, device) for device in state.run.config.devices},
        "tables": {
            device: origin
            for device in state.run.config.devices
            if (origin := table_origin(store, device, state.space, *state.predictors))
        },
    }
    state.run.write_json("front.json", document)
    return document


def _write_events(writer: Any, stats: EpochStats, validation: Validation | None) -> None:
    writer.add_scalar("search/task_loss", stats.task_loss, stats.epoch)
    writer.add_scalar("search/entropy", stats.entropy, stats.epoch)
    for device, loss in stats.device_loss.items():
        writer.add_scalar(f"loss/{device}", loss, stats.epoch)
    for device, value in (validation.hypervolume if validation else {}).items():
        writer.add_scalar(f"hypervolume/{device}", value, stats.epoch)


def _predict_all(
    run: Run, space: Space, predictors: dict[str, MetaPredictor], store: Store
) -> Callable[[Tensor, Tensor], Tensor]:
    """Metrics of samples (n, width) on the devices with these indices (n,), in one call a predictor."""
    references = {
        metric: torch.tensor(
            [_reference_values(run, store, name, space, metric) for name in run.config.devices],
            device=run.config.accelerator,
        )
        for metric in predictors
    }

    def predict(onehot: Tensor, owners: Tensor) -> Tensor:
        values = [predictors[metric](onehot, references[metric][owners]) for metric in predictors]
        return torch.stack(values, dim=1)

    return predict


def _search_device(
    run: Run, space: Space, predictors: dict[str, MetaPredictor], store: Store, device: str
) -> SearchDevice:
    """A device as the search sees it: vectors of all metrics concatenated, predictors bound to its own."""
    config = run.config
    vectors = {
        metric: Features(device, metric, _reference_values(run, store, device, space, metric))
        for metric in predictors
    }
    references = {
        metric: torch.tensor(features.values, device=config.accelerator)
        for metric, features in vectors.items()
    }

    def predict(onehot: Tensor) -> Tensor:
        return torch.stack([predictors[metric](onehot, references[metric]) for metric in predictors], dim=1)

    # Of a small space half will do: not all that its size counts need be usable.
    count = min(RANGE_SAMPLE, max(1, space.size // 2))
    sample = space.sample(count, torch.Generator().manual_seed(config.seed))
    with torch.no_grad():
        values = predict(space.encode(sample).to(config.accelerator))
    return SearchDevice(
        name=device,
        features=torch.cat([features.vector for features in vectors.values()]).to(config.accelerator),
        predict=predict,
        low=values.min(0).values,
        high=values.max(0).values,
    )
