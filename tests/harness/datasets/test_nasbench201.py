"""Reading the published tables."""

from __future__ import annotations

import pytest

from harness.core.errors import UsageError
from harness.datasets import nasbench201


def test_published_tables(data_dir):
    tables = nasbench201.load(data_dir)
    assert len(tables.archs) == len(tables.metrics["test_cifar10"]) == 15625
    assert len(tables.latency_ms) == 19
    assert all((values > 0).all() and len(values) == 15625 for values in tables.latency_ms.values())
    assert tables.metad2a.shape == (500,)
    # The published energy of the FPGA is 7 mJ a millisecond.
    assert tables.energy_mj["fpga"] == pytest.approx(7 * tables.latency_ms["fpga"], rel=1e-5)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UsageError, match=r"archs\.csv\.gz is missing"):
        nasbench201.load(tmp_path)
    (tmp_path / "nb201").mkdir()
    (tmp_path / "nb201" / "archs.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(UsageError, match="cannot be read"):
        nasbench201.load(tmp_path)
