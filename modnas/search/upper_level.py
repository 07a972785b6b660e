"""The upper level of a search: how its MetaHypernetwork learns.

`Gradients` is the paper's: multiple-gradient descent along the gradients of sampled architectures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modnas.core.task import BatchedTaskLoss, TaskLoss
from modnas.search import estimators, gradients, preferences
from modnas.search.config import SearchConfig
from modnas.search.devices import SearchDevice
from modnas.search.hypernetwork import Hypernetwork
from modnas.search.normalization import RunningRange, min_max
from modnas.search.objectives import apply_constraints, scalarise
from modnas.search.state import pack_optimizer, unpack_optimizer
from modnas.search.stats import Tally
from modnas.spaces import Space


@dataclass(frozen=True)
class Setting:
    """What both levels of a search work with.

    `features` are the devices' vectors, (T, D); `generator` is behind all draws.
    """

    space: Space
    devices: tuple[SearchDevice, ...]
    features: Tensor
    task_loss: TaskLoss
    config: SearchConfig
    generator: torch.Generator
    hypernetwork: Hypernetwork

    @property
    def objectives(self) -> int:
        """Number of objectives, M."""
        return 1 + len(self.devices[0].low)

    def logits(self, group: Sequence[int], count: int) -> tuple[Tensor, Tensor]:
        """`count` fresh preferences a device of the group, device by device, and their logits, detached."""
        features = self.features[list(group)].repeat_interleave(count, 0)
        drawn = preferences.sample(len(features), self.objectives, self.generator).to(features)
        with torch.no_grad():
            return drawn, self.hypernetwork(drawn, features)

    def sample(self, logits: Tensor) -> Tensor:
        """An architecture a row, with the estimator's gradient."""
        return estimators.sample(
            logits, self.space.options, self.generator, self.config.estimator, self.config.temperature
        )

    def mixed(self, logits: Tensor) -> Tensor:
        """Logits of which the set share is exchanged for those of a uniform draw."""
        if self.config.uniform_share > 0:
            uniform = torch.rand(len(logits), 1, generator=self.generator) < self.config.uniform_share
            logits = logits.masked_fill(uniform.to(logits.device), 0.0)
        return logits

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        """The task's loss of one architecture, float32, in the precision that is set."""
        kind = self.features.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.config.bfloat16):
            return self.task_loss.loss(sample, batch).float()


class UpperLevel(ABC):
    """Trains the MetaHypernetwork of a setting, epoch by epoch."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.config = setting, setting.config

    def renew(self, setting: Setting) -> None:
        """Go on with what is known of the devices now; everything else in the setting is the same."""
        self.setting = setting

    def begin_epoch(self) -> None:
        """Forget what is only true of an epoch."""
        return

    @abstractmethod
    def step(self, batch: Any, tally: Tally) -> None:
        """Take in a batch of the validation split."""

    def end_epoch(self, epoch: int, tally: Tally) -> None:
        """What is done once after the steps of an epoch, 0 the first."""
        return

    @abstractmethod
    def checkpoint(self) -> dict[str, Tensor]:
        """State between epochs, copied."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what `checkpoint` gave."""


class Gradients(UpperLevel):
    """Along the combined gradients of the devices' scalarised losses, by Adam."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._take_ranges()
        self._range = RunningRange()
        self._adam = torch.optim.Adam(
            setting.hypernetwork.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )

    def _take_ranges(self) -> None:
        devices = self.setting.devices
        self._low = torch.stack([device.low for device in devices])
        self._high = torch.stack([device.high for device in devices])

    def renew(self, setting: Setting) -> None:
        super().renew(setting)
        self._take_ranges()

    def begin_epoch(self) -> None:
        # The task loss falls as the weights improve: its range is that of this epoch.
        self._range.reset()

    def checkpoint(self) -> dict[str, Tensor]:
        return pack_optimizer("adam", self._adam)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        unpack_optimizer("adam", self._adam, tensors)

    def step(self, batch: Any, tally: Tally) -> None:
        """One Adam step for each group of devices that shares one."""
        for group in gradients.device_groups(
            self.config.scheme, len(self.setting.devices), self.setting.generator
        ):
            self._step(batch, group, tally)

    def _step(self, batch: Any, group: Sequence[int], tally: Tally) -> None:
        setting, count = self.setting, self.config.preferences_per_step
        drawn, logits = setting.logits(group, count)
        alpha = logits.requires_grad_()
        samples = setting.sample(alpha)
        task, slopes = self._task_gradients(samples, batch)
        losses, metrics, by_sample = self._scalarise(samples, drawn, task, slopes, group)
        (slope,) = torch.autograd.grad(samples, alpha, by_sample / count)
        matrix = setting.hypernetwork.device_gradients(
            drawn.view(len(group), count, -1),
            setting.features[list(group)],
            slope.view(len(group), count, -1),
        )
        direction, weights = gradients.combine(matrix, self.config.scheme, self.config.normalize_gradients)
        parameters = list(setting.hypernetwork.parameters())
        pieces = torch.split(direction, [parameter.numel() for parameter in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        self._adam.step()
        spread = estimators.entropy(alpha.detach(), setting.space.options)
        tally.add(group, task=task, losses=losses, metrics=metrics, coefficients=weights, entropy=spread)

    def _task_gradients(self, samples: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Task losses (n,) and their gradients (n, width) with respect to the samples, not to any weights."""
        if isinstance(self.setting.task_loss, BatchedTaskLoss):
            leaves = samples.detach().requires_grad_()
            together = self.setting.task_loss.losses(leaves, batch)
            return together.detach(), torch.autograd.grad(together.sum(), leaves, materialize_grads=True)[0]
        values, slopes = [], []
        for row in samples.detach():  # one by one, so that only one architecture's activations are held
            leaf = row.clone().requires_grad_()
            value = self.setting.loss(leaf, batch)
            slopes += torch.autograd.grad(value, leaf, materialize_grads=True)
            values.append(value.detach())
        return torch.stack(values), torch.stack(slopes)

    def _scalarise(
        self, samples: Tensor, drawn: Tensor, task: Tensor, slopes: Tensor, group: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scalarised losses (n,), hardware metrics (n, M - 1), the losses' gradient by sample (n, width)."""
        space = self.setting.space
        usable = [space.is_usable(space.read(sample)) for sample in samples.detach()]
        # Networks that do not see their input lose by far the most: with them in the range, the differences
        # that matter, between networks that learn, would shrink to nothing beside the hardware metrics.
        if any(usable):
            self._range.update(task[torch.tensor(usable, device=task.device)])
        elif not self._range.known:
            self._range.update(task)
        task, leaves = task.clone().requires_grad_(), samples.detach().requires_grad_()
        owners = torch.tensor(list(group)).repeat_interleave(len(leaves) // len(group))
        shares = zip(group, leaves.chunk(len(group)), strict=True)
        metrics = torch.cat([self.setting.devices[t].predict(rows) for t, rows in shares])
        low, high = self._low[owners], self._high[owners]
        hardware = apply_constraints(min_max(metrics, low, high), self.config.constraints)
        normal = torch.cat([self._range.normalise(task).unsqueeze(1), hardware], 1)
        losses = scalarise(normal, drawn, self.config.cosine_penalty)
        by_task, by_sample = torch.autograd.grad(losses.sum(), [task, leaves], materialize_grads=True)
        return losses.detach(), metrics.detach(), by_sample + by_task.unsqueeze(1) * slopes
