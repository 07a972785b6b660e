"""Fixtures of the harness's tests: a home of their own, and an agent that answers without measuring."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fetch_upstream import Upstream
from harness_helpers import FakeAgent, OpenWith

from harness.devices.profile import DeviceProfile
from harness.measure import session
from harness.presets import Preset, Recipe
from harness.store import Measurement
from modnas.spaces import Architecture, Space, get_space
from modnas.spaces.nasbench201.presets import PRESETS


@pytest.fixture(autouse=True)
def home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder for this test alone."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MODNAS_HOME", str(folder))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    monkeypatch.setenv("MODNAS_DEBUG", "")  # so that what --debug sets is undone
    return folder


@pytest.fixture
def space() -> Space:
    """NAS-Bench-201 with very small networks."""
    return get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))


@pytest.fixture
def open_with(monkeypatch: pytest.MonkeyPatch) -> OpenWith:
    """Sets who plays the agents of the devices that are opened."""

    def use(opener: Callable[[DeviceProfile], Any]) -> None:
        for kind in session.TRANSPORTS:
            monkeypatch.setitem(session.TRANSPORTS, kind, opener)

    return use


@pytest.fixture
def fake_agents(open_with: OpenWith) -> list[FakeAgent]:
    """Every device opened in the test talks to a FakeAgent; those that were opened."""
    opened: list[FakeAgent] = []

    def open_fake(_profile: Any) -> FakeAgent:
        opened.append(FakeAgent())
        return opened[-1]

    open_with(open_fake)
    return opened


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a preset that takes seconds."""
    preset = Preset(
        space={"channels": 4, "cells": 1},
        profile_archs=12,
        batch_size=64,
        task_limit=100,
        search={"epochs": 2, "steps_per_epoch": 1, "smoothing": 10},
        front_size=4,
        recipe=Recipe(epochs=1),
    )
    monkeypatch.setitem(PRESETS, "tiny", preset)
    return "tiny"


@pytest.fixture
def make_row(space: Space) -> Callable[..., Measurement]:
    """Builds store rows; anything given by name replaces the default."""

    def make(architecture: Architecture | None = None, value: float = 1.0, **fields: Any) -> Measurement:
        arch = architecture or space.references[0]
        defaults: dict[str, Any] = {
            "key": arch.string,
            "space": space.name,
            "variant": space.variant,
            "arch": arch.string,
            "device": "cpu",
            "fingerprint": "f",
            "batch": 1,
            "backend": "onnxruntime",
            "status": "ok",
            "latency_ms": value,
            "artifact_sha256": "",
            "created_at": datetime.now(timezone.utc),
            "request": {"options": {}, "protocol": {}},
            "record": {},
        }
        return Measurement(**{**defaults, **fields})

    return make


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a package with entry points on the path, laid out as pip does it; `code` is its one module."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def install(distribution: str, group: str, points: dict[str, str], code: str) -> None:
        module = distribution.replace("-", "_")
        # A module of an earlier test is another one.
        monkeypatch.delitem(sys.modules, module, raising=False)
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {module}:{attribute}\n" for name, attribute in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")

    return install
