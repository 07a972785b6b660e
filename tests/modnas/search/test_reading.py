import numpy as np
import pytest
import torch

from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.reading import WAYS, FrontReader, cheapest, pays
from modnas.spaces.nasbench201.space import NasBench201

SPACE = NasBench201(channels=2, cells=1, classes=3, input_shape=(1, 8, 8))


def predict(samples):
    return 1 + SPACE.predictor_features(samples)[:, 24:28] @ torch.tensor([[0.2], [0.9], [1.0], [0.05]])


def errors(architectures):
    counts = SPACE.predictor_features(SPACE.encode(architectures))[:, 24:28]
    return (100 * torch.exp(-0.5 * counts @ torch.tensor([0.05, 0.4, 1.0, 0.1]))).double().numpy()


DEVICE = SearchDevice("d", torch.rand(10), predict, torch.tensor([1.0]), torch.tensor([7.0]))


class Error:
    def loss(self, sample, batch):
        return sample.sum()

    def error(self, sample):
        return float(errors([SPACE.read(sample)])[0])


@pytest.fixture
def untaught():
    """What a MetaHypernetwork says that has learnt nothing: one architecture for all preferences."""
    config = SearchConfig(hypernetwork="conditioned", learning="imitation", front_size=8)
    return Search(
        SPACE,
        None,
        [DEVICE],
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: [None],
        task_loss=Error(),
        config=config,
        losses=errors,
    )


def test_refinement_makes_up_for_a_search_that_learnt_nothing(untaught):
    reader = FrontReader(untaught, errors, (0.0, 100.0))
    (volumes,) = reader.volumes([DEVICE]).values()
    assert list(volumes) == list(WAYS)
    assert volumes["read-off"] < volumes["refined"] - 0.1
    assert cheapest({"d": volumes}) != "read-off"
    assert not pays({"d": volumes})


@pytest.mark.parametrize("way", WAYS)
def test_every_way_chooses_from_what_is_known_for_certain(untaught, way):
    wonder = SPACE.architecture([0, 0, 0, 2, 0, 0])

    def losses(architectures):
        return np.where([a == wonder for a in architectures], 0.0, errors(architectures))

    reader = FrontReader(untaught, losses, (0.0, 100.0), budget=20, certain=[wonder])
    front = reader.front(DEVICE, way)
    assert wonder in {point.architecture for point in front}
    assert len({point.architecture for point in front}) == len(front) <= 8


def test_the_cheapest_is_kept_that_is_within_noise_of_the_best():
    def volumes(*values):
        return {"a": dict(zip(WAYS, values, strict=True))}

    assert cheapest(volumes(0.8, 0.8, 0.7)) == "read-off"
    assert cheapest(volumes(0.799, 0.8, 0.8)) == "read-off"
    assert cheapest(volumes(0.7, 0.799, 0.8)) == "refined"
    assert cheapest(volumes(0.7, 0.75, 0.8)) == "refined-from-random"
    assert pays(volumes(0.8, 0.7, 0.7))
    assert not pays(volumes(0.7, 0.8, 0.799))
    two = {**volumes(0.9, 0.9, 0.9), "b": dict(zip(WAYS, (0.5, 0.9, 0.9), strict=True))}
    assert cheapest(two) == "refined"
