"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from seed_shift import shift_seeds

# A time limit an example would make tests fail on a busy machine.
settings.register_profile("modnas", deadline=None)
settings.load_profile("modnas")

# Before test modules are imported: they draw too.
shift_seeds(int(os.environ.get("MODNAS_SEED_SHIFT", "0")))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread, unless OMP_NUM_THREADS says how many: results do not depend on the machine's cores, and
    threads that wait for each other on a busy machine cost more than they bring for tiny networks.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test that draws without a seed draws the same alone and after others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published tables (nb201/, ofa/, hat/, ...); skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MODNAS_TEST_DATA", beside))
    if not (folder / "nb201").is_dir():
        pytest.skip(f"no published tables in {folder}; MODNAS_TEST_DATA may name their folder")
    return folder
