"""The upper level by imitation: the MetaHypernetwork learns to say what the refinement finds.

A product of independent choices that is moved along gradients stays in local optima, where no single change
is better. Descents, and in small spaces a look at everything, do not, and on models that are cheap to ask
they cost little. So for each device of the search the best front is drawn up, and the MetaHypernetwork is
trained by cross-entropy to answer every preference with its member of that front. What it learns carries
over to devices that were not searched, for which nothing is drawn up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from modnas.search import estimators, preferences
from modnas.search.devices import SearchDevice
from modnas.search.front import FrontPoint, read_front
from modnas.search.lessons import Lesson, draw_up
from modnas.search.normalization import RunningRange, min_max
from modnas.search.objectives import scalarise
from modnas.search.records import FitLosses, Records
from modnas.search.refinement import Losses, Score, remembered, score_on
from modnas.search.state import pack_optimizer, unpack_optimizer
from modnas.search.stats import Tally
from modnas.search.upper_level import Setting, UpperLevel

# Where losses are dear, lessons are drawn up anew so many times in the course of a search.
_ROUNDS = 4
# Standard deviation of what is added to device vectors at the beginning of a training, relative to theirs,
# for the sake of devices that were not searched (see `docs/decisions.md`); at its end it is 0.
_JITTER = 0.5


class Imitation(UpperLevel):
    """Draws up lessons and trains the MetaHypernetwork on them, by Adam.

    Args:
        losses: the first objective where it is cheap: lessons are drawn up once, before the first training.
        fit: where it is dear, and `losses` None: makes a model of it from what the steps record.

    Raises:
        ValueError: neither is given.
    """

    def __init__(self, setting: Setting, losses: Losses | None, fit: FitLosses | None) -> None:
        super().__init__(setting)
        if losses is None and fit is None:
            raise ValueError("imitation needs losses that are cheap to ask, or a way to fit a model of them")
        self._losses, self._fit = losses, fit
        self._records = Records(setting.space)
        self._lessons: list[Lesson] = []
        self._range = RunningRange()
        self._adam = torch.optim.Adam(setting.hypernetwork.parameters(), lr=self.config.imitation_rate)

    def renew(self, setting: Setting) -> None:
        super().renew(setting)
        self._lessons = []  # what was best by other predictions is drawn up anew

    def begin_epoch(self) -> None:
        self._range.reset()

    def checkpoint(self) -> dict[str, Tensor]:
        return {**pack_optimizer("adam", self._adam), **self._records.checkpoint("records")}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        unpack_optimizer("adam", self._adam, tensors)
        self._records.restore("records", tensors)

    @torch.no_grad()
    def step(self, batch: Any, tally: Tally) -> None:
        """Where losses are dear, record those of a few architectures of every device on this batch."""
        if self._losses is not None:
            return
        setting, group = self.setting, range(len(self.setting.devices))
        drawn, logits = setting.logits(group, self.config.preferences_per_step)
        samples = setting.sample(setting.mixed(logits))
        task = torch.stack([setting.loss(sample, batch) for sample in samples])
        self._records.add([setting.space.read(sample) for sample in samples], task)
        self._range.update(task)
        parts = zip(setting.devices, samples.chunk(len(group)), strict=True)
        metrics = torch.cat([min_max(d.predict(rows), d.low, d.high) for d, rows in parts])
        values = torch.cat([self._range.normalise(task).unsqueeze(1), metrics], 1)
        self._tell(tally, group, task=task, values=values, drawn=drawn, logits=logits)

    def end_epoch(self, epoch: int, tally: Tally) -> None:
        """Train on the lessons, new ones where it is time for them."""
        epochs, steps = self.config.epochs, self.config.imitation_steps
        if self._losses is not None:
            if not self._lessons:
                self._lessons = self._drawn_up(self._losses, self.config.error_bounds)
            self._train(range(steps * epoch // epochs, steps * (epoch + 1) // epochs), steps)
            self._tell_lessons(tally)
            return
        due = epoch == 0 or (epoch + 1) * _ROUNDS // epochs > epoch * _ROUNDS // epochs
        if self._fit is not None and due and self._records.enough:
            self._lessons = self._drawn_up(*self._records.model(self._fit))
            self._train(range(steps // _ROUNDS), steps // _ROUNDS)

    def _drawn_up(self, losses: Losses, bounds: tuple[float, float]) -> list[Lesson]:
        """The lessons of all devices by a model of the first objective; `bounds`: what counts as 0 and 1."""
        setting, size = self.setting, self.config.front_size
        rows = preferences.spread(size, setting.objectives)
        drawn = setting.space.sample(size, torch.Generator().manual_seed(self.config.seed))
        starts = [FrontPoint(tuple(row), one) for row, one in zip(rows.tolist(), drawn, strict=True)]
        if self._losses is None:  # it has been taught before
            starts += read_front(setting.hypernetwork, setting.space, setting.features[0], rows)
        known = remembered(losses)
        scores = [self._score(device, known, bounds) for device in setting.devices]
        return draw_up(setting.space, scores, size, starts, self.config.imitation_budget)

    def _score(self, device: SearchDevice, losses: Losses, bounds: tuple[float, float]) -> Score:
        """Scaled objectives on a device; metrics below the user's bound are as good as at it."""
        score = score_on(self.setting.space, device, losses, bounds)
        least = [-math.inf, *(-math.inf if bound is None else bound for bound in self.config.constraints)]
        if not self.config.constraints:
            return score
        return lambda architectures: np.maximum(score(architectures), least)

    def _train(self, numbers: range, count: int) -> None:
        """Steps `numbers` of `count`, over which the learning rate falls to zero as a cosine."""
        setting, per_device = self.setting, self.config.imitation_batch
        exact = setting.features.repeat_interleave(per_device, 0)
        spread = _JITTER * setting.features.std(0, correction=0)
        for number in numbers:
            self._adam.param_groups[0]["lr"] = (
                self.config.imitation_rate * (1 + math.cos(math.pi * number / count)) / 2
            )
            drawn = preferences.sample(len(exact), setting.objectives, setting.generator)
            jitter = torch.empty(exact.shape).normal_(generator=setting.generator).to(exact)
            features = exact + (1 - number / count) * spread * jitter
            targets = torch.cat(
                [
                    lesson.choices[torch.cdist(rows, lesson.preferences).argmin(1)]
                    for lesson, rows in zip(self._lessons, torch.split(drawn, per_device), strict=True)
                ]
            )
            loss = self._cross_entropy(drawn.to(features), features, targets).mean()
            self._adam.zero_grad()
            torch.autograd.backward(loss)
            self._adam.step()

    def _cross_entropy(self, drawn: Tensor, features: Tensor, targets: Tensor) -> Tensor:
        """Sum over the decisions for each row: (B, M), (B, D) and choices (B, decisions) -> (B,)."""
        logits = self.setting.hypernetwork(drawn, features)
        parts = torch.split(logits, list(self.setting.hypernetwork.options), 1)
        columns = targets.to(logits.device).unbind(1)
        return torch.stack(
            [cross_entropy(part, one, reduction="none") for part, one in zip(parts, columns, strict=True)]
        ).sum(0)

    @torch.no_grad()
    def _tell_lessons(self, tally: Tally) -> None:
        """Statistics of the fronts as they are taught."""
        setting, bounds = self.setting, self.config.error_bounds
        for t, (features, lesson) in enumerate(zip(setting.features, self._lessons, strict=True)):
            rows = lesson.preferences.to(features)
            logits = setting.hypernetwork(rows, features.expand(len(rows), -1))
            task = lesson.values[:, 0] * (bounds[1] - bounds[0]) + bounds[0]
            self._tell(
                tally, [t], task=task, values=lesson.values, drawn=rows, logits=logits, steps=tally.steps
            )

    def _tell(
        self,
        tally: Tally,
        group: Sequence[int],
        *,
        task: Tensor,
        values: Tensor,
        drawn: Tensor,
        logits: Tensor,
        steps: int = 1,
    ) -> None:
        """Take in architectures of the devices of a group: task losses (n,), scaled objectives (n, M),
        preferences (n, M) and the logits that answer them, for so many steps.
        """
        devices = [self.setting.devices[t] for t in group]
        scaled = values[:, 1:].chunk(len(devices))
        metrics = [part.to(d.low) * (d.high - d.low) + d.low for d, part in zip(devices, scaled, strict=True)]
        tally.add(
            group,
            task=task,
            losses=scalarise(values, drawn.to(values), self.config.cosine_penalty),
            metrics=torch.cat(metrics),
            coefficients=torch.full((len(devices),), steps / len(self.setting.devices)),
            entropy=estimators.entropy(logits, self.setting.space.options),
        )
