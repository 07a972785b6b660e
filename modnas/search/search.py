"""The search: a MetaHypernetwork trained on many devices at once (Algorithm 1 of the MODNAS paper).

Upper level: the MetaHypernetwork, by multiple-gradient descent over the devices, on the validation split.
Lower level: the supernetwork's weights, by the mean gradient of the task loss, on the training split.
First order: the upper level takes the weights as they are.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

import torch
from torch import Tensor

from modnas.core.task import TaskLoss
from modnas.search import front, indicators, preferences
from modnas.search.config import Learning, SearchConfig
from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint
from modnas.search.hypernetwork import Hypernetwork
from modnas.search.hypernetworks import make_hypernetwork
from modnas.search.imitation import Imitation
from modnas.search.records import FitLosses
from modnas.search.refinement import Losses
from modnas.search.state import (
    pack_generator,
    pack_module,
    pack_optimizer,
    unpack_generator,
    unpack_module,
    unpack_optimizer,
)
from modnas.search.stats import EpochStats, Tally, Validation
from modnas.search.upper_level import Gradients, Setting, UpperLevel
from modnas.spaces import Architecture, Space, Supernetwork

__all__ = ["EpochStats", "Search", "SearchConfig", "SearchDevice", "TaskLoss", "Validation"]

Batches = Callable[[int], Iterable[Any]]


class Search:
    """A search that runs epoch by epoch and can be stopped and resumed between any two.

    Args:
        space: what is searched.
        supernetwork: weights for the lower level to train, or to leave alone where they are frozen; None when
            `task_loss` needs none.
        devices: the devices to search on, at least one, their feature vectors of one length.
        train_batches: epoch -> batches of the lower level; the same batches for the same epoch. Not asked for
            where there is nothing to train.
        valid_batches: epoch -> batches of the upper level, likewise. An epoch ends with the shorter.
        task_loss: the first objective, from a batch.
        config: settings.
        losses: for learning by imitation, the first objective of architectures where it is cheap to ask.
        fit_losses: for learning by imitation where it is not: makes a model of losses that were seen.

    Raises:
        ValueError: no device, a name twice, or shapes that do not fit together; or imitation without either.
    """

    def __init__(
        self,
        space: Space,
        supernetwork: Supernetwork | None,
        devices: Sequence[SearchDevice],
        *,
        train_batches: Batches,
        valid_batches: Batches,
        task_loss: TaskLoss,
        config: SearchConfig,
        losses: Losses | None = None,
        fit_losses: FitLosses | None = None,
    ) -> None:
        _check(devices, config)
        self.space, self.supernetwork, self.devices = space, supernetwork, tuple(devices)
        self.train_batches, self.valid_batches = train_batches, valid_batches
        self.task_loss, self.config = task_loss, config
        self.objectives = 1 + len(devices[0].low)
        self.epoch = 0
        self._weights: torch.optim.Optimizer | None = None
        if supernetwork is not None and config.freeze_weights:
            supernetwork.requires_grad_(False)
        elif supernetwork is not None:
            self._weights = _weights_optimiser(supernetwork, config)
        self.warmed = 0 if self._weights is not None else config.warmup_epochs
        self.history: list[EpochStats] = []
        self.best_epoch: int | None = None
        self.generator = torch.Generator().manual_seed(config.seed)
        self.features = torch.stack([device.features for device in devices])
        self.hypernetwork = make_hypernetwork(space, self.features, self.objectives, config, self.generator)
        self.hypernetwork.pretrain_uniform()
        self.best = copy.deepcopy(self.hypernetwork)
        self._setting = Setting(
            space, self.devices, self.features, task_loss, config, self.generator, self.hypernetwork
        )
        self._upper: UpperLevel = (
            Gradients(self._setting)
            if config.learning == "gradients"
            else Imitation(self._setting, losses, fit_losses)
        )

    @property
    def finished(self) -> bool:
        """Whether all epochs have run."""
        return self.epoch >= self.config.epochs

    @property
    def warm(self) -> bool:
        """Whether all warm-up epochs have run."""
        return self.warmed >= self.config.warmup_epochs

    def run_warmup_epoch(self) -> None:
        """Train the supernetwork for one epoch while the MetaHypernetwork is still uniform."""
        # Beyond the search's own epochs, so that no batch of the search is the repetition of one here.
        for batch in self.train_batches(self.config.epochs + self.warmed):
            self._lower_step(batch)
        self.warmed += 1

    def run_epoch(self) -> EpochStats:
        """Run the next epoch, an upper-level and a lower-level step for each pair of batches.

        Raises:
            ValueError: the epoch has no batch, or the warm-up has not run.
        """
        if not self.warm:
            raise ValueError("the search has warm-up epochs: call run_warmup_epoch first")
        began = time.monotonic()
        config = self.config
        tally = Tally([device.name for device in self.devices], self.objectives - 1)
        self._upper.begin_epoch()
        valid = itertools.islice(self.valid_batches(self.epoch), config.steps_per_epoch)
        if self.supernetwork is not None:
            self.supernetwork.train(self._weights is not None)
        if self._weights is not None:
            share = (1 + math.cos(math.pi * self.epoch / config.epochs)) / 2
            self._weights.param_groups[0]["lr"] = config.weights_learning_rate * share
        train = itertools.repeat(None) if self._weights is None else self.train_batches(self.epoch)
        for valid_batch, train_batch in zip(valid, train, strict=False):
            self._upper.step(valid_batch, tally)
            self._lower_step(train_batch)
            tally.steps += 1
        if tally.steps == 0:
            raise ValueError(f"epoch {self.epoch} of the search has no batch")
        self._upper.end_epoch(self.epoch, tally)
        with torch.no_grad():
            weights = self.hypernetwork.device_weights(self.features)
        stats = tally.stats(self.epoch, time.monotonic() - began, weights)
        self.history.append(stats)
        self.epoch += 1
        return stats

    def _lower_step(self, batch: Any) -> None:
        """One step of the supernetwork along the devices' mean gradient of the task loss."""
        if self.supernetwork is None or self._weights is None:
            return
        with torch.no_grad():
            samples = self._setting.sample(
                self._setting.mixed(self._setting.logits(range(len(self.devices)), 1)[1])
            )
        self._weights.zero_grad()
        for sample in samples:
            torch.autograd.backward(self._setting.loss(sample, batch) / len(samples))
        torch.nn.utils.clip_grad_norm_(self.supernetwork.parameters(), self.config.gradient_clip)
        self._weights.step()

    def validate(self) -> Validation:
        """Read each device's front, score it on validation data and predictions, and keep the best state.

        The last step is often not the best. The state kept so far is scored again with the supernetwork's
        present weights, because errors fall as those improve: an old score would be too low to compare with.
        """
        errors: dict[Architecture, float] = {}
        current = self._score(self.hypernetwork, errors)
        if self.best_epoch is None or current.score >= self._score(self.best, errors).score:
            self.best.load_state_dict(self.hypernetwork.state_dict())
            self.best_epoch = self.epoch
        return current

    def renew(self, devices: Sequence[SearchDevice]) -> None:
        """Go on with what is known of the same devices now: their predictions and ranges.

        Not a part of a checkpoint: who restores one makes the search of what was known then.

        Raises:
            ValueError: they are others, or are described by other vectors.
        """
        _check(devices, self.config)
        named = [device.name for device in self.devices]
        if [device.name for device in devices] != named:
            raise ValueError(f"a search on {', '.join(named)} cannot go on with other devices")
        if not torch.equal(torch.stack([device.features for device in devices]), self.features):
            raise ValueError("the devices' vectors are not those that the search began with")
        self.devices = tuple(devices)
        self._setting = replace(self._setting, devices=self.devices)
        self._upper.renew(self._setting)

    def front(self, features: Tensor, count: int | None = None) -> list[FrontPoint]:
        """Front of a device, searched or not, by the best state `validate` has kept (else the present one).

        `features`: shape (D,); `count` preferences, `front_size` unless given. Architectures may repeat.
        """
        rows = preferences.spread(count or self.config.front_size, self.objectives)
        source = self.hypernetwork if self.best_epoch is None else self.best
        return front.read_front(source, self.space, features, rows)

    def proposals(self, device: SearchDevice, count: int | None = None) -> list[FrontPoint]:
        """`front` of a device, each network in the form that is best there (see `front.fastest_forms`)."""
        return front.fastest_forms(self.space, device, self.front(device.features, count))

    @torch.no_grad()
    def _score(self, hypernetwork: Hypernetwork, errors: dict[Architecture, float]) -> Validation:
        """Validation of one state; errors already known are taken from `errors`, new ones added to it."""
        rows = preferences.spread(self.config.front_size, self.objectives)
        fronts, objectives, volumes = {}, {}, {}
        for device in self.devices:
            points = front.distinct(front.read_front(hypernetwork, self.space, device.features, rows))
            samples = self.space.encode([point.architecture for point in points]).to(self.features)
            for point, sample in zip(points, samples, strict=True):
                if point.architecture not in errors:
                    errors[point.architecture] = self.task_loss.error(sample)
            task = torch.tensor([[errors[point.architecture]] for point in points])
            values = torch.cat([task, device.predict(samples).cpu()], 1).tolist()
            low, high = self.config.error_bounds
            scaled = indicators.scale(values, [low, *device.low.tolist()], [high, *device.high.tolist()])
            fronts[device.name], objectives[device.name] = points, values
            # Better than the sampled best is no reason for a box that reaches beyond it.
            volumes[device.name] = indicators.hypervolume(scaled.clip(min=0))
        return Validation(self.epoch, fronts, objectives, volumes)

    def checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a resumed search needs: named tensors (safetensors can hold them) and a JSON document.

        To be taken between epochs. The task loss's range is not part of it: an epoch starts a new one.
        """
        tensors = {
            **pack_module("hypernetwork", self.hypernetwork),
            **pack_module("best", self.best),
            **self._upper.checkpoint(),
            **pack_generator("generator", self.generator),
        }
        if self.supernetwork is not None:
            tensors |= pack_module("supernetwork", self.supernetwork)
        if self._weights is not None:
            tensors |= pack_optimizer("weights", self._weights)
        meta = {
            **self._identity(),
            "epoch": self.epoch,
            "warmed": self.warmed,
            "best_epoch": self.best_epoch,
            "history": [asdict(stats) for stats in self.history],
        }
        return tensors, meta

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Continue from a checkpoint of a search with the same space, devices and settings.

        On a CPU the resumed search then gives what the uninterrupted one would have given, bit for bit.

        Raises:
            ValueError: the checkpoint is of another search, or has weights that are no numbers.
        """
        # A setting that an older version did not have was its default.
        found = {**meta, "config": {**_plain(asdict(SearchConfig())), **meta.get("config", {})}}
        for key, expected in self._identity().items():
            if found.get(key) != expected:
                raise ValueError(
                    f"the checkpoint's {key} is {found.get(key)!r}, the search's is {expected!r}"
                )
        unpack_module("hypernetwork", self.hypernetwork, tensors)
        unpack_module("best", self.best, tensors)
        self._upper.restore(tensors)
        unpack_generator("generator", self.generator, tensors)
        if self.supernetwork is not None:
            unpack_module("supernetwork", self.supernetwork, tensors)
        if self._weights is not None:
            unpack_optimizer("weights", self._weights, tensors)
        self.epoch, self.best_epoch = int(meta["epoch"]), meta["best_epoch"]
        # Checkpoints without the number are of searches that had finished their warm-up.
        self.warmed = int(meta.get("warmed", self.config.warmup_epochs))
        self.history = [EpochStats(**stats) for stats in meta["history"]]

    def _identity(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the search that resumes it, as JSON gives it back."""
        return _plain(
            {
                "format": 1,
                "space": f"{self.space.name}:{self.space.variant}",
                "devices": [device.name for device in self.devices],
                "config": asdict(self.config),
            }
        )


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """A document as JSON gives it back."""
    restored: dict[str, Any] = json.loads(json.dumps(document))
    return restored


def _weights_optimiser(supernetwork: Supernetwork, config: SearchConfig) -> torch.optim.Optimizer:
    parameters, rate = supernetwork.parameters(), config.weights_learning_rate
    if config.weights_optimizer == "adam":
        return torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=config.weights_decay)
    return torch.optim.SGD(
        parameters, rate, momentum=config.weights_momentum, weight_decay=config.weights_decay
    )


def _check(devices: Sequence[SearchDevice], config: SearchConfig) -> None:
    if not devices:
        raise ValueError("a search needs at least one device")
    names = [device.name for device in devices]
    if len(set(names)) < len(names):
        raise ValueError(f"a device is named twice: {', '.join(names)}")
    for what in ("features", "low", "high"):
        shapes = {tuple(getattr(device, what).shape) for device in devices}
        if len(shapes) > 1:
            raise ValueError(f"the devices' {what} have different shapes: {sorted(shapes)}")
    if config.learning not in get_args(Learning):
        raise ValueError(f"learning {config.learning!r} is none of {', '.join(get_args(Learning))}")
    metrics = len(devices[0].low)
    if config.constraints and len(config.constraints) != metrics:
        raise ValueError(f"{len(config.constraints)} constraints for {metrics} hardware metrics")
