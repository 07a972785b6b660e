"""The worked examples of CONTRIBUTING.md do what they say."""

from __future__ import annotations

import re
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from modnas_agent.energy.sensors import SensorError

from modnas.baselines.base import Problem
from modnas.spaces import get_space

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
PLUGIN = Path(__file__).parent / "plugins" / "modnas_hw_example" / "modnas_hw_example"


def example(heading: str) -> dict[str, Any]:
    """What the code below a heading defines."""
    section = PAGE.read_text().partition(f"### {heading}\n")[2].partition("\n### ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    module: dict[str, Any] = {"__name__": "example"}
    exec(code, module)
    return module


def test_the_sensor_reads_what_the_kernel_tells(tmp_path: Path) -> None:
    sensor = runpy.run_path(str(PLUGIN / "acpi.py"))["sensor"]
    with pytest.raises(SensorError, match="no ACPI"):
        sensor(tmp_path)
    chip = tmp_path / "class/hwmon/hwmon3"
    chip.mkdir(parents=True)
    (chip / "name").write_text("power_meter\n")
    (chip / "power1_average").write_text("213000000\n")
    assert [sample.value for sample in sensor(tmp_path).poll()] == [213.0]


def test_the_baseline_spends_its_budget_and_repeats_itself() -> None:
    run, space = example("A baseline")["run"], get_space("nasbench201")

    def problem() -> Problem:
        return Problem(space, "cpu", lambda cells: [[sum(a.choices), a.choices[0]] for a in cells], [1.0])

    walked = run(problem(), 12, seed=3)
    assert len(set(walked)) == 12 and run(problem(), 12, seed=3) == walked
    steps = pairwise(walked)
    assert any(sum(a != b for a, b in zip(x.choices, y.choices, strict=True)) == 1 for x, y in steps)
