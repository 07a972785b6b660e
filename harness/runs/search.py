"""A search from its configuration: devices to predictors, predictors to a search, the search to fronts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from harness.core.errors import ModnasHwError
from harness.devices.table import is_table, table_origin
from harness.runs import loop_record
from harness.runs.continuing import continuing
from harness.runs.inputs import content_at_first, opened, require_content, require_tables
from harness.runs.predictors import Predictors, hardware_metrics, load_predictors, search_device, signs
from harness.runs.run import Run, TaskAndSpace
from harness.runs.starting_weights import start_from
from harness.runs.surrogate import load_run_surrogate
from harness.store import Store
from modnas.accuracy.evaluated import EvaluatedAccuracy
from modnas.accuracy.shared_weights import SharedWeights, fit_losses
from modnas.search import Search, SearchConfig
from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint
from modnas.search.loop import BeforeEpoch, run_to_end
from modnas.search.reading import WAYS, FrontReader, Way, cheapest, pays
from modnas.search.refinement import remembered
from modnas.search.stats import EpochStats, Validation
from modnas.spaces import Space, Supernetwork
from modnas.tasks import AnyTask

# How many architectures of the space give the range of the loss, which takes long to tell.
_LOSS_SAMPLE = 50
# Architectures that are looked at for each device to choose what is measured, where their losses are dear.
_LOOKED_AT = 200


@dataclass
class SearchRun:
    """A run with its space, task, MetaPredictors and accuracies, ready to be searched or read."""

    run: Run
    space: Space
    task: AnyTask
    predictors: Predictors
    accuracy: SharedWeights | EvaluatedAccuracy
    search: Search

    def learn(self, predictors: Predictors, store: Store) -> None:
        """Go on with predictors that were fitted anew."""
        self.predictors = predictors
        self.search.renew(self.devices(store))

    def devices(self, store: Store) -> list[SearchDevice]:
        """The run's devices as its predictors know them now, made anew: what they have told before does not
        show in the last bits of what they tell."""
        names, predictors = self.run.config.devices, self.predictors
        return [search_device(self.run, self.space, predictors, store, name) for name in names]

    @property
    def supernetwork(self) -> Supernetwork | None:
        """The weights that all architectures share, if accuracies come from them."""
        return self.accuracy.supernetwork if isinstance(self.accuracy, SharedWeights) else None

    def front(self, store: Store, device: str, preferences: int | None = None) -> list[dict[str, Any]]:
        """The front of a device: as the search wrote it down, or read now for one that it did not search, or
        for another number of preferences.
        """
        written = written_front(self.run, device, preferences)
        return self.read_front(store, device, preferences) if written is None else written

    def read_front(self, store: Store, device: str, preferences: int | None = None) -> list[dict[str, Any]]:
        """The front of any device whose reference architectures are measured, searched or not.

        Each entry has `arch`, `preference` and `predicted` with `error` (percent, on the validation split,
        by the supernetwork or the accuracy surrogate) and one value a hardware metric, by its key. Every
        architecture occurs once, so there may be fewer than the `preferences` asked for (else the preset's
        `front_size`).
        """
        target = self._device(store, device)
        points = self._points(store, target, self._way, preferences)
        return self._entries(target, points)

    def read_fronts(self, store: Store) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any] | None]:
        """The fronts of the devices of the search, and what each way to them reaches (see `FrontReader`), of
        which the cheapest that is enough is taken; None where fronts are only to be read off.
        """
        devices = self.search.devices
        if not self.run.config.settings.refine:
            return {device.name: self.read_front(store, device.name) for device in devices}, None
        fronts = {d.name: {way: self._points(store, d, way) for way in WAYS} for d in devices}
        volumes: dict[str, dict[Way, float]] = {
            d.name: {way: self._reader.volume(d, points) for way, points in fronts[d.name].items()}
            for d in devices
        }
        kept = cheapest(volumes)
        reading = {"way": kept, "search_pays": pays(volumes), "hypervolume": volumes}
        return {d.name: self._entries(d, fronts[d.name][kept]) for d in devices}, reading

    @property
    def _way(self) -> Way:
        """How fronts are had: as was found best when the search ended; in older runs that was not asked."""
        if not self.run.config.settings.refine:
            return "read-off"
        found = self.run.read_json("front.json") if self.run.has("front.json") else {}
        way: Way = (found.get("reading") or {}).get("way", "refined")
        return way

    def _points(
        self, store: Store, target: SearchDevice, way: Way, preferences: int | None = None
    ) -> list[FrontPoint]:
        plain = not is_table(target.name, store)
        return self._reader.front(target, way, preferences, plain=plain)

    def _entries(self, target: SearchDevice, points: Sequence[FrontPoint]) -> list[dict[str, Any]]:
        found = [point.architecture for point in points]
        names = ["error", *(metric.key for metric in hardware_metrics(self.run))]
        with torch.no_grad():
            samples = self.space.encode(found).to(self.run.config.accelerator)
            metrics = (target.predict(samples) * signs(self.run)).double().tolist()
        errors = self.accuracy.errors(found).tolist()
        rows = [[error, *row] for error, row in zip(errors, metrics, strict=True)]
        return [
            {
                "arch": point.architecture.id,
                "preference": [round(r, 6) for r in point.preference],
                "predicted": dict(zip(names, row, strict=True)),
            }
            for point, row in zip(points, rows, strict=True)
        ]

    def _device(self, store: Store, name: str) -> SearchDevice:
        searched = {device.name: device for device in self.search.devices}
        return searched.get(name) or search_device(self.run, self.space, self.predictors, store, name)

    @cached_property
    def _reader(self) -> FrontReader:
        return self.reader()

    def reader(self, *, in_between: bool = False) -> FrontReader:
        """Fronts by what is known at the moment; `in_between`: while the search runs, where to look at as
        many architectures as at its end would be too dear."""
        accuracy = self.accuracy
        budget = self.run.config.settings.refine
        if in_between and (isinstance(accuracy, SharedWeights) or not budget):
            budget = min(budget or _LOOKED_AT, _LOOKED_AT)
        # Fronts that are only read off are what the MetaHypernetwork says.
        certain = accuracy.certain if budget and isinstance(accuracy, EvaluatedAccuracy) else ()
        return FrontReader(self.search, remembered(accuracy.losses), self._loss_range(), budget, certain)

    def _loss_range(self) -> tuple[float, float]:
        """Losses that count as 0 and 1 beside the metrics: the range over architectures of the space."""
        if isinstance(self.accuracy, EvaluatedAccuracy):
            return self.search.config.error_bounds
        generator = torch.Generator().manual_seed(self.run.config.seed)
        losses = self.accuracy.losses(self.space.sample(_LOSS_SAMPLE, generator))
        return float(losses.min()), float(losses.max())


def written_front(run: Run, device: str, preferences: int | None = None) -> list[dict[str, Any]] | None:
    """The front of a device as the search wrote it down; None if it did not, or not with `preferences`."""
    if preferences not in (None, run.config.settings.front_size) or not run.has("front.json"):
        return None
    found: list[dict[str, Any]] | None = run.read_json("front.json")["devices"].get(device)
    return found


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
        raise ModnasHwError(f"run {run.name} has no predictor yet; {continuing(run)}")
    run = opened(run)
    config, settings = run.config, run.config.settings
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    made = made or TaskAndSpace(config)
    task, space = made.task, made.space
    require_tables(run, store, space)
    task, predictors = task.to(config.accelerator), load_predictors(run, space)
    devices = [search_device(run, space, predictors, store, name) for name in config.devices]
    accuracy, bounds = _accuracy(run, space, task, weights)
    search = Search(
        space,
        accuracy.supernetwork if isinstance(accuracy, SharedWeights) else None,
        devices,
        train_batches=lambda epoch: task.batches(
            "train", settings.batch_size, epoch=epoch, seed=config.seed, augment=True
        ),
        valid_batches=lambda epoch: _valid_batches(run, task, epoch),
        task_loss=accuracy.task_loss,
        config=SearchConfig(
            **{"error_bounds": bounds, **settings.search},
            front_size=settings.front_size,
            seed=config.seed,
        ),
        losses=accuracy.losses if isinstance(accuracy, EvaluatedAccuracy) else None,
        fit_losses=partial(fit_losses, space),
    )
    if run.has("checkpoint.safetensors"):
        with run.blamed():
            search.restore(*run.load_state("checkpoint"))
    return SearchRun(run, space, task, predictors, accuracy, search)


def _accuracy(
    run: Run, space: Space, task: AnyTask, weights: Path | None
) -> tuple[SharedWeights | EvaluatedAccuracy, tuple[float, float]]:
    """What the run's accuracies come from, and the errors that count as 0 and 1 beside the metrics."""
    config, bounds = run.config, (0.0, task.chance_error)
    if config.evaluations is not None:
        accuracy = load_run_surrogate(run, space)
        return accuracy, accuracy.bounds if accuracy.evaluated else bounds
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        supernetwork = space.supernetwork()
    if config.weights_sha256 is not None and not run.has("checkpoint.safetensors"):
        start_from(config, space, supernetwork, weights)
    supernetwork.to(config.accelerator)
    supernetwork.counterfactual = config.settings.counterfactual
    loss = task.supernetwork_loss(supernetwork)
    return SharedWeights(space, loss, supernetwork, task.validation, config.accelerator), bounds


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
    before_epoch: BeforeEpoch = lambda: None,
) -> list[dict[str, Any]]:
    """Run the epochs that are left, a checkpoint after each; the validation record of all epochs.

    `on_warmup` is told the number of warm-up epochs done after each of them; `before_epoch` is called before
    each epoch, when everything of those before it is kept.

    Killed at any moment, the next call continues after the last finished epoch to the same result.
    """
    from torch.utils.tensorboard import SummaryWriter

    run, search = state.run, state.search
    content = content_at_first(run.config)

    def save_checkpoint() -> None:
        require_content(run.config, content)
        run.save_state("checkpoint", *search.checkpoint())

    def warmed() -> None:
        save_checkpoint()
        if on_warmup:
            on_warmup(search.warmed)

    def keep(stats: EpochStats, validation: Validation | None) -> None:
        measured = {device: len(loop_record.networks(run, device)) for device in run.config.devices}
        in_the_loop = {"measured": measured} if run.config.measure else {}
        volumes = validation and validation.hypervolume
        record.append({**asdict(stats), "hypervolume": volumes, **in_the_loop})
        # The record first: on resuming, epochs beyond the checkpoint are cut off again.
        run.write_json("epochs.json", record)
        save_checkpoint()
        _write_events(writer, stats, validation)
        for device, count in measured.items() if in_the_loop else ():
            writer.add_scalar(f"measured/{device}", count, stats.epoch)
        if on_epoch:
            on_epoch(stats, validation)

    record: list[dict[str, Any]] = run.read_json("epochs.json") if run.has("epochs.json") else []
    record = record[: search.epoch]
    with SummaryWriter(str(run.path / "events"), purge_step=search.epoch) as writer:
        run_to_end(
            search,
            run.config.settings.validate_every,
            on_epoch=keep,
            on_warmup=warmed,
            before_epoch=before_epoch,
        )
    return record


def write_fronts(state: SearchRun, store: Store) -> dict[str, Any]:
    """Read the front of every device of the search and write `front.json`."""
    fronts, reading = state.read_fronts(store)
    document: dict[str, Any] = {
        "space": state.space.name,
        "variant": state.space.variant,
        "best_epoch": state.search.best_epoch,
        "devices": fronts,
        "tables": {
            device: origin
            for device in state.run.config.devices
            if (origin := table_origin(store, device, state.space, *state.predictors))
        },
        "reading": reading,
    }
    if state.run.config.measure:
        document["in_the_loop"] = loop_record.rounds(state.run)
    state.run.write_json("front.json", document)
    return document


def _write_events(writer: Any, stats: EpochStats, validation: Validation | None) -> None:
    writer.add_scalar("search/task_loss", stats.task_loss, stats.epoch)
    writer.add_scalar("search/entropy", stats.entropy, stats.epoch)
    if stats.device_spread is not None:
        writer.add_scalar("search/device_spread", stats.device_spread, stats.epoch)
    for device, loss in stats.device_loss.items():
        writer.add_scalar(f"loss/{device}", loss, stats.epoch)
    for device, value in (validation.hypervolume if validation else {}).items():
        writer.add_scalar(f"hypervolume/{device}", value, stats.epoch)
