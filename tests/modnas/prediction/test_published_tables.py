"""The MetaPredictor on the published latencies of NAS-Bench-201, as if each were measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modnas.prediction import DeviceTable, fit_predictor
from modnas.prediction.metrics import spearman
from modnas.spaces.nasbench201.space import REFERENCE_INDICES, NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
REFERENCES = list(REFERENCE_INDICES)


def table(name, latency, indices):
    return DeviceTable(name, latency[REFERENCES], [SPACE.at(i) for i in indices], latency[indices])


@pytest.mark.parametrize(
    ("device", "least"), [("1080ti_1", 0.97), ("titan_rtx_256", 0.99), ("gold_6226", 0.97), ("raspi4", 0.92)]
)
def test_eighty_cells_of_one_device(nb201, device, least):
    latency = nb201.latency[device]
    usable = [i for i in range(3000) if SPACE.is_usable(SPACE.at(i))]
    chosen = np.random.default_rng(0).permutation(usable)
    train, test = chosen[:80], chosen[80:580]
    predictor = fit_predictor(SPACE, [table(device, latency, train)])
    prediction = predictor.predict([SPACE.at(i) for i in test], latency[REFERENCES])
    assert spearman(prediction.value, latency[test]) > least
    inside = (prediction.lower <= latency[test]) & (latency[test] <= prediction.upper)
    assert 0.75 < inside.mean() < 0.99


@pytest.mark.slow
def test_unseen_devices_from_their_references(nb201, data_dir):
    """HELP's protocol with 150 cells a device for its 900; HELP's own mean is 0.932."""
    splits = json.loads((data_dir / "nb201" / "reference.json").read_text())["devices"]
    train = [i for i in range(160) if SPACE.is_usable(SPACE.at(i))]
    known = [*splits["meta_train"], *splits["meta_valid"]]
    predictor = fit_predictor(SPACE, [table(name, nb201.latency[name], train) for name in known])
    scores = {}
    for name in splits["meta_test"]:
        latency = nb201.latency[name]
        test = 900 + np.argsort(latency[900:1900], kind="stable")[100:900]
        prediction = predictor.predict([SPACE.at(i) for i in test], latency[REFERENCES])
        scores[name] = spearman(prediction.value, latency[test])
    assert np.mean(list(scores.values())) > 0.93, scores
