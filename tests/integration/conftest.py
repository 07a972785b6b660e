"""Fixtures of the integration tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration_home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A fresh home, also that of this process."""
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    return Home(tmp_path / "home")
