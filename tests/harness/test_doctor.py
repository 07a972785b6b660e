"""The checks of an installation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_helpers import OpenWith, damaged_store

from harness import doctor
from harness.doctor import Finding, checkup
from harness.store import Measurement, Store


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.mark.usefixtures("fake_agents")
def test_healthy_installation(home_folder: Path) -> None:
    found = by_name(checkup())
    assert all(finding.ok for finding in found.values() if finding.required)
    assert found["home"].detail == str(home_folder) and "integrity ok" in found["store"].detail
    assert found["device cpu"].ok and "fingerprint" in found["device cpu"].detail
    assert not found["device gpu"].ok and not found["device gpu"].required
    assert "CUDAExecutionProvider" in found["device gpu"].detail


@pytest.mark.usefixtures("fake_agents")
def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "modnas-no-such-package"))
    found = by_name(checkup())
    assert found["torch"].ok
    absent = found["modnas-no-such-package"]
    assert absent.required and not absent.ok and "pip install" in absent.detail


@pytest.mark.usefixtures("fake_agents")
def test_damaged_store_is_reported(home_folder: Path, make_row: Callable[..., Measurement]) -> None:
    damaged_store(home_folder, make_row)
    found = by_name(checkup())
    assert not found["store"].ok and found["store"].required and found["device cpu"].ok


@pytest.mark.usefixtures("fake_agents")
def test_file_that_is_no_store(home_folder: Path) -> None:
    home_folder.mkdir()
    (home_folder / "store.sqlite").write_text("no database " * 100)
    assert not by_name(checkup())["store"].ok


@pytest.mark.usefixtures("fake_agents")
def test_broken_profile_does_not_end_the_checks(home_folder: Path) -> None:
    with Store():
        pass
    (home_folder / "devices").mkdir()
    (home_folder / "devices" / "bad.yaml").write_text("name: [")
    found = by_name(checkup())
    assert not found["device bad"].ok and "bad.yaml" in found["device bad"].detail
    assert not found["device bad"].required and found["device cpu"].ok


def test_unwritable_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODNAS_HOME", "/proc/modnas")
    found = by_name(checkup())
    assert not found["home"].ok and "MODNAS_HOME" in found["home"].detail


def test_agent_that_does_not_start(open_with: OpenWith) -> None:
    def fail(_profile: Any) -> Any:
        raise doctor.ModnasHwError("no agent")

    open_with(fail)
    found = by_name(checkup())
    assert not found["device cpu"].ok and found["device cpu"].required
