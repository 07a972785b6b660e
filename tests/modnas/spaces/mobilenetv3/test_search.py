"""A search over the MobileNetV3 space with its supernetwork."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from modnas.search import Search, SearchConfig
from modnas.search.devices import SearchDevice
from modnas.spaces.mobilenetv3.network import Block
from modnas.spaces.mobilenetv3.space import TABLES, MobileNetV3
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

SPACE = MobileNetV3(width_percent=20, classes=3, input_shape=(1, 48, 48), min_side=24)


def batches(epoch):
    """Images whose class is their brightness. The last layers of the smallest see one pixel of each: with
    fewer images a batch's statistics, by which all networks normalise, would be mostly chance.
    """
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(4):
        targets = torch.randint(3, (64,), generator=generator)
        noise = 0.1 * torch.randn(64, 1, 48, 48, generator=generator)
        yield (targets - 1.0).view(-1, 1, 1, 1) + noise, targets


def make_search(epochs=2, warmup=10):
    torch.manual_seed(0)
    supernetwork = SPACE.supernetwork()

    def predict(samples):
        return SPACE.predictor_features(samples).sum(1, keepdim=True)

    device = SearchDevice("d", torch.rand(10), predict, torch.tensor([2.0]), torch.tensor([20.0]))
    config = SearchConfig(
        epochs=epochs,
        warmup_epochs=warmup,
        tables=TABLES,
        learning_rate=0.1,
        weights_optimizer="adam",
        weights_learning_rate=0.005,
        front_size=4,
        uniform_share=0.5,
    )
    loss = SupernetworkLoss(supernetwork, list(batches(99)))
    return Search(
        SPACE,
        supernetwork,
        [device],
        train_batches=batches,
        valid_batches=lambda epoch: batches(50 + epoch),
        task_loss=loss,
        config=config,
    )


@pytest.mark.slow
def test_a_search_trains_weights_that_its_networks_inherit():
    search = make_search()
    networks = [
        SPACE.describe(side, [[Block(k, e)] * d] * 5) for side, k, e, d in ((24, 3, 3, 2), (48, 7, 6, 4))
    ]
    networks += SPACE.sample(6, torch.Generator().manual_seed(0))
    before = fmean(map(search.task_loss.error, SPACE.encode(networks)))
    while not search.warm:
        search.run_warmup_epoch()
    after = fmean(map(search.task_loss.error, SPACE.encode(networks)))
    # Guessing is wrong for 67 %, and after the training about 20 %.
    assert before > 50
    assert after < 50
    tables = [bank.detach().clone() for bank in search.hypernetwork.banks]
    search.run_epoch()
    assert all((new != old).any() for new, old in zip(search.hypernetwork.banks, tables, strict=True))
    assert search.validate().score > 0


def test_tables_of_the_hypernetwork_are_one_for_each_kind_of_decision():
    assert [width for width, _ in TABLES] == [15, 60, 60, 25]
    assert [tuple(bank.shape) for bank in make_search().hypernetwork.banks] == [
        (50, 101, width) for width in (15, 60, 60, 25)
    ]
