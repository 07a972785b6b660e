"""What the package's own tests are: `pytest conformance.py` where it is installed."""

from __future__ import annotations

from harness.testing import check_backend, check_metric
from modnas.spaces import get_space
from modnas.testing import check_space, check_task


def test_space() -> None:
    check_space("stacks")


def test_task() -> None:
    check_task("stripes")


def test_backend() -> None:
    check_backend("reference", space=get_space("stacks"), options={"copy_inputs": True})


def test_metric() -> None:
    check_metric("throughput")
