"""What a step of the search costs beyond the arithmetic of the networks it executes.

    python benchmarks/step_time.py [--rounds 5] [--channels 16 --cells 1 --batch 16]

A step is one upper-level and one lower-level update for 13 devices on NAS-Bench-201 with 32x32 images. It is
compared with 26 plain forward and backward passes, in training mode, of standalone networks of the very
architectures the step sampled, on the same batch; the two alternate. A second search with a trivial task loss
shows what remains when no network is executed: MetaHypernetwork, MetaPredictor, gradients, Frank-Wolfe, Adam.

Without --channels both published sizes are run: C = 16, N = 1, batch 16 and C = 16, N = 5, batch 64. The
devices are made up: their latencies only have to make a MetaPredictor of the usual size.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from modnas.prediction import DeviceTable, fit_predictor
from modnas.search import Search, SearchConfig
from modnas.search.devices import SearchDevice
from modnas.spaces import Architecture
from modnas.spaces.nasbench201 import NasBench201
from modnas.tasks.weight_sharing import SupernetworkLoss

DEVICES = 13
SIZES = ((16, 1, 16), (16, 5, 64))
MANY = 10_000  # epochs of one step; more than are ever run


class Recorded:
    """The supernetwork's loss, which remembers what it was asked to execute."""

    def __init__(self, space: NasBench201, loss: SupernetworkLoss) -> None:
        self.space, self.inner = space, loss
        self.seen: list[Architecture] = []

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        self.seen.append(self.space.read(sample.detach()))
        return self.inner.loss(sample, batch)

    def error(self, sample: Tensor) -> float:
        return self.inner.error(sample)


class Trivial:
    """A task loss that costs nothing."""

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        return sample.square().sum()

    def error(self, sample: Tensor) -> float:
        return float(sample[0])


def search_devices(space: NasBench201, rows: int) -> list[SearchDevice]:
    """Devices behind one MetaPredictor; their latency is linear in its features, with 3 % noise."""
    draw = np.random.default_rng(0)
    cells = space.sample(rows, torch.Generator().manual_seed(0))
    known = [space.predictor_features(space.encode(part)).numpy() for part in (space.references, cells)]
    tables = []
    for number in range(DEVICES):
        costs = draw.uniform(0.05, 1.0, known[0].shape[1])
        at_references, values = (
            (2 + features @ costs) * draw.normal(1, 0.03, len(features)) for features in known
        )
        tables.append(DeviceTable(f"device{number}", at_references, cells, values))
    predictor = fit_predictor(space, tables)
    sample = space.encode(cells)
    return [
        SearchDevice.known(table.name, {"latency": table.features}, {"latency": predictor}, sample)
        for table in tables
    ]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def plain_passes(space: NasBench201, cells: list[Architecture], batch: tuple[Tensor, Tensor]) -> float:
    """Seconds of a forward and a backward pass of each cell's own network; building them is not timed."""
    total = 0.0
    inputs, targets = batch
    for cell in cells:
        network = space.network(cell).train()
        total += seconds(lambda net=network: cross_entropy(net(inputs), targets).backward())
    return total


def overhead_ms(devices: list[SearchDevice], rounds: int) -> float:
    """Median milliseconds of an upper-level step in which no network is executed."""
    search = Search(
        NasBench201(),
        None,
        devices,
        train_batches=lambda epoch: [None],
        valid_batches=lambda epoch: [None],
        task_loss=Trivial(),
        config=SearchConfig(epochs=MANY),
    )
    for _ in range(3):
        search.run_epoch()
    return 1e3 * statistics.median(seconds(search.run_epoch) for _ in range(10 * rounds))


def compare(size: tuple[int, int, int], devices: list[SearchDevice], rounds: int) -> None:
    channels, cells, batch_size = size
    torch.manual_seed(0)
    space = NasBench201(channels=channels, cells=cells)
    batch = (torch.randn(batch_size, *space.input_shape), torch.randint(10, (batch_size,)))
    supernetwork = space.supernetwork()
    loss = Recorded(space, SupernetworkLoss(supernetwork, [batch]))
    search = Search(
        space,
        supernetwork,
        devices,
        train_batches=lambda epoch: [batch],
        valid_batches=lambda epoch: [batch],
        task_loss=loss,
        config=SearchConfig(epochs=MANY),
    )
    search.run_epoch()
    ratios, steps = [], []
    for _ in range(rounds):
        loss.seen.clear()
        step = seconds(search.run_epoch)
        plain = plain_passes(space, loss.seen, batch)
        assert len(loss.seen) == 2 * DEVICES
        ratios.append(step / plain)
        steps.append(step)
        print(f"  step {step:7.3f} s   plain {plain:7.3f} s   ratio {step / plain:.3f}", flush=True)
    print(
        f"C={channels} N={cells} batch {batch_size}: step {statistics.median(steps):.3f} s, "
        f"ratio {statistics.median(ratios):.3f} (median of {rounds})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200, help="cells each device's regression is fitted on")
    for name in ("channels", "cells", "batch"):
        parser.add_argument(f"--{name}", type=int)
    arguments = parser.parse_args()
    single = (arguments.channels, arguments.cells, arguments.batch)
    if any(single) and not all(single):
        parser.error("--channels, --cells and --batch go together")
    devices = search_devices(NasBench201(), arguments.rows)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {DEVICES} devices", flush=True)
    print(f"all but the networks: {overhead_ms(devices, arguments.rounds):.1f} ms a step", flush=True)
    for size in [single] if all(single) else SIZES:
        compare(size, devices, arguments.rounds)


if __name__ == "__main__":
    main()
