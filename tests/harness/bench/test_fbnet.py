"""`benchmark fbnet` on the published tables, with the space of the package in examples/fbnet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.bench import fbnet as benchmark
from harness.cli import main
from harness.datasets.fbnet import FBNetTables, Split, load
from modnas.core.architecture import ArchitectureError
from modnas.spaces import get_space
from modnas.testing.spaces import check_choices, check_encoding, check_features, check_sampling

pytestmark = pytest.mark.trains

PACKAGE = Path(__file__).resolve().parents[3] / "examples" / "fbnet"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as pip would install it, as far as Python sees."""
    folder = tmp_path / "modnas_hw_fbnet-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: modnas-hw-fbnet\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text("[modnas.spaces]\nfbnet = modnas_hw_fbnet.space:FBNet\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(PACKAGE), str(tmp_path)])


def test_the_space_does_what_a_space_must(installed):
    space = get_space("fbnet")
    some = check_sampling(space)
    check_choices(space, some)
    check_encoding(space, some)
    check_features(space, some)
    with pytest.raises(ArchitectureError):
        space.network(some[0])


def test_work_explains_latencies_that_are_calculated_from_it(installed, data_dir):
    """The FPGA's are, by a model of the device: a linear function of the features misses nothing of note."""
    tables = load(data_dir)
    features = tables.space.predictor_features(tables.space.encode(tables.architectures).double())
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    latency_ms = torch.from_numpy(tables.latency_ms["fpga"])
    solved = torch.linalg.lstsq(inputs[:900], latency_ms[:900].unsqueeze(1), driver="gelsd")
    found = inputs @ solved.solution.squeeze(1)
    left = (found - latency_ms)[900:]
    assert float(left.square().mean().sqrt()) < 0.05 * float(latency_ms.std())


def test_tables_fit_the_space(installed, data_dir):
    tables = load(data_dir)
    assert [tables.architectures[i] for i in tables.references] == list(tables.space.references)
    devices = {d for split in tables.splits.values() for d in (*split.train, *split.test)}
    assert devices <= set(tables.latency_ms)
    assert not any(set(split.train) & set(split.test) for split in tables.splits.values())


@pytest.mark.slow
def test_chosen_measurements_beat_random_ones_and_come_near_the_ceiling(installed, data_dir):
    """GPUs from phones and a CPU."""
    tables = load(data_dir)
    split = Split(("essential_ph_1", "pixel3", "raspi4", "gold_6240"), ("titan_rtx_1", "2080ti_32"))
    small = FBNetTables(
        tables.space, tables.architectures, tables.latency_ms, tables.references, {"small": split}
    )
    rows = list(benchmark.predictor(small, 0))

    def mean(method, metric="spearman"):
        return np.mean([r.value for r in rows if (r.method, r.metric) == (method, metric)])

    assert mean("chosen") > mean("ridge-random")
    assert mean("own") - 0.05 < mean("chosen") < mean("own")
    assert 0.8 < mean("chosen", "coverage") < 1
    assert {row.group for row in rows} == {"small"}


def test_without_the_package_it_says_what_to_install(data_dir, capsys):
    assert main(["benchmark", "fbnet", "--data", str(data_dir), "--json"]) == 2
    assert "examples/fbnet" in json.loads(capsys.readouterr().out)["error"]["message"]
