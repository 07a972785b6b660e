"""What is brought to a board for a backend, and what TVM is told about its CPU."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from harness.backends import get_backend
from harness.cli import main
from harness.core.errors import UsageError
from harness.devices.profile import DeviceProfile
from harness.devices.registry import get_profile
from harness.devices.targets import tvm_target


def test_the_boards_tvm_is_the_one_that_compiled_here() -> None:
    pytest.importorskip("tvm_ffi")
    runtime = get_backend("tvm").runtime()
    assert f"apache-tvm-ffi=={version('apache-tvm-ffi')}" in runtime.requirements
    (library,) = runtime.files
    assert library.requirement == f"apache-tvm=={version('apache-tvm')}"
    assert not any("apache-tvm=" in requirement for requirement in runtime.requirements), "300 MB"
    assert runtime.identity != get_backend("onnxruntime").runtime().identity


def test_pytorch_is_not_brought(home_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="too large to be brought"):
        get_backend("torch").runtime()
    assert main(["agent", "install", "--device", "cpu", "--backend", "tvm"]) == 2
    assert "is this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("machine", "model", "expected"),
    [
        ("aarch64", "0x41:0xd08", ("aarch64-linux-gnu", "cortex-a72")),
        ("aarch64", "0x41:0xd03, 0x41:0xd08", ("aarch64-linux-gnu", None)),
        ("aarch64", None, ("aarch64-linux-gnu", None)),
        ("x86_64", "AMD EPYC 7B13", ("x86_64-linux-gnu", None)),
        ("mips", "?", None),
    ],
)
def test_target_of_a_board(machine: str, model: str | None, expected: tuple[str, str | None] | None) -> None:
    found = tvm_target({"machine": machine, "cpu": {"model": model}})
    assert (found and (found["mtriple"], found.get("mcpu"))) == expected
    if found is not None:
        profile = DeviceProfile.model_validate({"name": "x", "options": {"target": found}})
        assert profile.options.model_dump()["target"] == found, "a profile may hold it"


def test_shipped_boards_are_told_to_tvm() -> None:
    for name, core in (("raspi4", "cortex-a72"), ("raspi5", "cortex-a76"), ("aarch64", None)):
        target = get_profile(name).options.model_dump()["target"]
        assert target is not None and target.get("mcpu") == core
