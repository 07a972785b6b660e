"""What to do where a runtime of this machine cannot be imported."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from harness.measure.local_runtime import local_hint


def command(hint: str | None) -> list[str]:
    assert hint is not None
    words = shlex.split(hint.partition(" with: ")[2])
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    return words[4:]


def test_a_runtime_that_crashes_is_not_installed_again() -> None:
    (wanted,) = map(Requirement, command(local_hint("onnxruntime", crashed=True)))
    assert wanted.name == "onnxruntime" and version("onnxruntime") not in wanted.specifier


def test_a_runtime_that_is_not_there_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.local_runtime.version", lambda name: version(f"{name}-of-nobody"))
    for crashed in (True, False):
        wanted = [*map(Requirement, command(local_hint("onnxruntime", crashed)))]
        assert "onnxruntime" in [one.name for one in wanted]


def test_what_is_there_and_fails_in_another_way_is_left_to_its_message() -> None:
    assert local_hint("onnxruntime", crashed=False) is None
    assert local_hint("torch", crashed=True) is None, "its packages are not ours to choose"
