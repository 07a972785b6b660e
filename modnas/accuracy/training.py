"""Training a standalone network from scratch: the error that verification reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modnas.core.errors import ModnasError
from modnas.core.preset import Optimizer
from modnas.spaces import Architecture, Space
from modnas.tasks import AnyTask


class TrainingError(ModnasError):
    """Training that came to no result. One line: what, where, and what to do."""

    code = "training"


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Attributes:
        error: wrong labels on the test split after the last epoch, percent.
        losses: mean training loss of every epoch, nats.
        seconds: wall-clock time of training and test together.
    """

    error: float
    losses: list[float]
    seconds: float


def seeded_network(space: Space, architecture: Architecture, seed: int) -> nn.Module:
    """`space.network(architecture)` with initial weights fixed by `seed`; global random state is kept."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return space.network(architecture)


def train(
    network: nn.Module,
    task: AnyTask,
    *,
    epochs: int = 8,
    batch_size: int = 64,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.0,
    optimizer: Optimizer = "sgd",
    augment: bool = True,
    seed: int = 0,
    device: str | torch.device = "cpu",
    splits: tuple[str, ...] = ("train", "valid"),
    progress: Callable[[int, float], None] | None = None,
) -> TrainResult:
    """Train `network` in place with a cosine schedule, then test it.

    On a CPU the result is a function of the arguments (and of the number of threads).

    Args:
        epochs: 0 only tests it, for weights that come from elsewhere.
        optimizer: SGD with Nesterov momentum 0.9, or Adam (AdamW) with betas 0.9 and 0.98.
        learning_rate: at the first step; falls to 0 along a cosine over all steps.
        splits: what is trained on; the error is always that of `test`.
        progress: called after every epoch with the epochs done and the mean loss of the last.

    Raises:
        TrainingError: the loss became infinite or not a number.
    """
    start = time.perf_counter()
    network, task = network.to(device).train(), task.to(device)
    optimiser = _optimiser(network, optimizer, learning_rate, weight_decay)
    count = task.count(splits)
    steps = epochs * math.ceil(count / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    losses = []
    for epoch in range(epochs):
        total = torch.zeros((), device=device)
        for inputs, targets in task.batches(splits, batch_size, epoch=epoch, seed=seed, augment=augment):
            loss = task.loss(network(inputs), targets, label_smoothing)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += loss.detach() * len(targets)
        losses.append(float(total) / count)
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"the loss on {task.name} is {losses[-1]} in epoch {epoch + 1}: lower the learning rate"
            )
        if progress is not None:
            progress(epoch + 1, losses[-1])
    return TrainResult(task.test_error(network), losses, time.perf_counter() - start)


def _optimiser(
    network: nn.Module, kind: Optimizer, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    if kind == "adam":
        return torch.optim.AdamW(
            network.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay
        )
    return torch.optim.SGD(
        network.parameters(), learning_rate, momentum=0.9, weight_decay=weight_decay, nesterov=True
    )


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give a network whose weights come from elsewhere the normalisation statistics of these inputs.

    Means and variances are averages over the batches. The network is left in evaluation mode.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        network.eval()
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for inputs in batches:
        network(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
