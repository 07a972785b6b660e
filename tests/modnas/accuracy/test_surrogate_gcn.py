"""The paper's graph network, which the MetaPredictor is compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modnas.prediction import DeviceTable
from modnas.prediction.gcn import GraphPredictor, adapt, fit_graph_predictor, normalised_adjacency
from modnas.prediction.metrics import spearman
from modnas.spaces.nasbench201.space import CONV1, CONV3, NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()


def latency(architectures, by_conv3, by_conv1):
    """A device whose time is a sum over the cell's operators, ms."""
    choices = np.array([a.choices for a in architectures])
    return 2 + by_conv3 * (choices == CONV3).sum(1) + by_conv1 * (choices == CONV1).sum(1)


def table(name, cells, *costs):
    return DeviceTable(name, latency(SPACE.references, *costs), cells, latency(cells, *costs))


def test_links_of_the_cell_graph():
    links = normalised_adjacency() > 0
    assert torch.equal(links, links.T)
    assert links.sum(1).tolist() == [4, 4, 3, 3, 3, 3, 4, 4]
    assert links[0].nonzero().flatten().tolist() == [0, 1, 2, 4]  # itself and edges 0>1, 0>2, 0>3
    assert links[7].nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert normalised_adjacency().sum(1).tolist() == pytest.approx([1] * 8)


@pytest.mark.slow
def test_fit_predicts_unseen_cells_and_adapting_fits_the_device():
    cells = SPACE.sample(260, torch.Generator().manual_seed(0))
    train, rest = cells[:200], cells[200:]
    tables = [table("a", train, 3.0, 1.0), table("b", train, 1.0, 2.0)]
    network = fit_graph_predictor(SPACE, tables, epochs=100, batch_size=50)
    costs = (3.0, 1.0)
    references, true = latency(SPACE.references, *costs), latency(rest, *costs)
    assert spearman(network.predict(SPACE, rest, references), true) > 0.9

    costs = (2.0, 6.0)
    references, true = latency(SPACE.references, *costs), latency(rest, *costs)
    before = network.predict(SPACE, rest, references)
    adapted = adapt(network, SPACE, references, (train[:60], latency(train[:60], *costs)), epochs=100)
    after = adapted.predict(SPACE, rest, references)
    assert np.abs(after - true).mean() < np.abs(before - true).mean()
    assert np.array_equal(before, network.predict(SPACE, rest, references))  # adapting copies


def test_gradient_reaches_the_samples():
    network = GraphPredictor(10)
    samples = SPACE.encode(SPACE.sample(3, torch.Generator().manual_seed(0))).requires_grad_()
    (slope,) = torch.autograd.grad(network(samples, torch.rand(3, 10)).sum(), samples)
    assert slope.abs().sum(1).min() > 0
