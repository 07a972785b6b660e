"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A time limit an example would make tests fail on a busy machine.
settings.register_profile("modnas", deadline=None)
settings.load_profile("modnas")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published tables (nb201/, ofa/, hat/, ...); skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MODNAS_TEST_DATA", beside))
    if not (folder / "nb201").is_dir():
        pytest.skip(f"no published tables in {folder}; MODNAS_TEST_DATA may name their folder")
    return folder
