"""What the tests are run with: other seeds, other instructions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from other_instructions import other_instructions
from seed_shift import shift_seeds


def drawn() -> tuple[float, ...]:
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    mine = torch.rand(1, generator=generator), torch.rand(1)
    return (*(float(value) for value in mine), float(np.random.default_rng(1).uniform()))


def test_a_shift_changes_every_generator_and_is_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, seen = drawn(), []
    for shift in (0, 1, 1, 2):
        with monkeypatch.context() as patch:
            for owner, name in ((torch, "Generator"), (torch, "manual_seed"), (np.random, "default_rng")):
                patch.setattr(owner, name, getattr(owner, name))
            shift_seeds(shift)
            seen.append(drawn())
    assert seen[0] == drawn() == plain
    assert seen[1] == seen[2]
    for one, other in zip((*plain, *seen[1]), (*seen[1], *seen[3]), strict=True):
        assert one != other


@pytest.mark.parametrize(
    ("capability", "machine", "expected"),
    [
        ("AVX512", "x86_64", "avx2"),
        ("AVX2", "x86_64", "default"),
        ("DEFAULT", "x86_64", "default"),
        ("SVE256", "aarch64", "default"),
        ("DEFAULT", "aarch64", None),
    ],
)
def test_every_machine_has_other_instructions(capability: str, machine: str, expected: str | None) -> None:
    settings = other_instructions(capability, machine)
    assert settings and settings.get("ATEN_CPU_CAPABILITY") == expected
