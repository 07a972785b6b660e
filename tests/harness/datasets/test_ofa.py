"""The once-for-all tables: reading, importing, and table devices of the space."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets.ofa import load
from harness.datasets.training_sets import device_features, device_values
from harness.store import Store
from modnas.spaces.mobilenetv3 import MobileNetV3


@pytest.mark.slow
def test_import_makes_twelve_devices(data_dir, home_folder, capsys):
    assert main(["dataset", "import", "ofa", "--from", str(data_dir), "--json"]) == 0
    capsys.readouterr()
    space = MobileNetV3()
    with np.load(data_dir / "ofa" / "archs_latency.npz", allow_pickle=False) as file:
        latency = file["lat_titan_rtx_64"].astype(float)
    positions = json.loads((data_dir / "ofa" / "reference.json").read_text())["hardware_embedding_index"]
    with Store() as store:
        devices = store.table_devices("mobilenetv3", space.variant)
        assert len(devices) == 12
        values = device_values(store, "titan_rtx_64", space, "latency")
        assert len(values) == 5000
        features = device_features(store, "titan_rtx_64", space)
        assert features.values == pytest.approx(latency[positions])


def test_a_damaged_or_missing_table_is_one_line(data_dir, tmp_path):
    with pytest.raises(UsageError, match="holds no once-for-all tables"):
        load(tmp_path)
    shutil.copytree(data_dir / "ofa", tmp_path / "ofa")
    (tmp_path / "ofa" / "acc_predictor.npz").write_bytes(b"PK")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)
