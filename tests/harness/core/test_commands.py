"""Advised commands: they make the very space that they are advised for."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from harness.cli.options import make_space
from harness.core.commands import advised, space_options
from modnas.spaces import get_space


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("nasbench201", {}),
        ("nasbench201", {"channels": 4, "cells": 1, "input_shape": (1, 8, 8)}),
        ("nasbench201", {"classes": 100}),
        ("mobilenetv3", {"width_percent": 100, "min_side": 100}),
        ("mobilenetv3", {"input_shape": (1, 64, 64), "classes": 7}),
        ("transformer", {}),
        ("transformer", {"embed": 320, "ffn": 900, "heads": 4, "inner": 64, "classes": 99, "norm_first": 1}),
    ],
)
def test_options_make_the_space(name: str, size: dict[str, Any]) -> None:
    space = get_space(name, **size)
    _, given, *settings = space_options(space)
    assert given == name and settings[::2] == ["--set"] * (len(settings) // 2)
    assert make_space(given, settings[1::2]).variant == space.variant
    assert bool(settings) == bool(size)


def test_what_no_option_can_say_names_the_space_alone() -> None:
    space = get_space("transformer", ffn=(3072, 2000, 10))
    assert space_options(space) == ["--space", "transformer"]


def test_a_command_is_one_that_a_shell_takes_apart() -> None:
    command = advised("dataset import", get_space("nasbench201", cells=1), device="a b")
    assert shlex.split(command) == [
        *("modnas-hw", "dataset", "import", "--device", "a b"),
        *("--space", "nasbench201", "--set", "cells=1"),
    ]
