"""A package of its own, built and installed, and what it has works in every command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "plugins" / "modnas_hw_example"
DEVICE = """
name: slow
backend: reference
options: {copy_inputs: true}
power_sensor: acpi
policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5, drift_limit: 20}
"""
MAIN = "import sys; from harness.cli import main; sys.exit(main())"
# How docs/plugins.md lists what each part needed.
ROW = re.compile(r"\| (\w+) +\| (`[^|]+`) +\| +(\d+) +\| +(\d+) +\|")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it, from its wheel."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source")  # building leaves files there
    dist = folder / "dist"
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, folder / "source")
    pip("install", "--no-deps", "--no-index", "--target", folder / "site", *dist.glob("*.whl"))
    return folder / "site"


def pip(verb: str, *arguments: str | Path) -> None:
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", verb, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Shell:
    """Commands with the package on the path, in a home with a device that uses its backend."""

    def __init__(self, site: Path, home: Path) -> None:
        (home / "devices").mkdir(parents=True)
        (home / "devices" / "slow.yaml").write_text(DEVICE)
        path = f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{site}".lstrip(os.pathsep)
        own = {"PYTHONPATH": path, "MODNAS_HOME": str(home), "OMP_NUM_THREADS": "1"}
        self._environment = {**os.environ, **own}
        self._environment.pop("MODNAS_STORE", None)

    def run(self, *arguments: str) -> str:
        """What a Python with these arguments prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, env=self._environment
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def command(self, *arguments: str) -> Any:
        """The JSON document of a command."""
        return json.loads(self.run("-c", MAIN, *arguments, "--json"))


@pytest.fixture(scope="module")
def shell(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(site, tmp_path_factory.mktemp("plugin-home") / "home")


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.timeout(900)
def test_a_space_a_task_and_a_backend_of_another_package(shell: Shell) -> None:
    profiled = shell.command(
        "profile", "--device", "slow", "--space", "stacks", "--archs", "2", "--metrics", "latency,throughput"
    )
    for row in profiled["measurements"]:
        assert row["status"] == "ok" and row["backend"] == "reference" and row["arch"].startswith("stacks:")
        assert row["latency_ms"]["median"] > 0 and row["max_abs_diff"] < 1e-3
        assert row["throughput_hz"] == 1e3 / row["latency_ms"]["median"]
    asked = ("--space", "stacks", "--task", "stripes", "--preset", "quick", "--seed", "0")
    surrogate = ("--accuracy", "surrogate", "--evaluations", "12", "--no-verify")
    objectives = ("--objectives", "error,latency,throughput")
    shell.command("search", "--devices", "slow", *asked, *surrogate, *objectives, "--run", "mine")
    front = shell.command("front", "--run", "mine", "--device", "slow")["architectures"]
    assert front and all(one["arch"].startswith("stacks:") for one in front)
    assert all(one["predicted"]["throughput_hz"] > 0 for one in front)
    verified = shell.command("verify", "--run", "mine", "--device", "slow")["architectures"]
    assert len(verified) >= 1 and all(one["measured"]["latency_ms"] > 0 for one in verified)
    assert all(one["measured"]["throughput_hz"] > 0 for one in verified)
    # Without a neighbour in sight a network cannot tell stripes from noise: some guess, with 75 % wrong.
    assert min(one["measured"]["error"] for one in verified) < 60
    shell.command("report", "--run", "mine")


@pytest.mark.slow
@pytest.mark.trains
def test_a_search_on_its_accuracies(shell: Shell) -> None:
    asked = ("--space", "stacks", "--task", "stripes", "--seed", "0", "--evaluations", "12")
    found = shell.command(
        "search", "--devices", "slow", *asked, "--accuracy", "readout", "--run", "untrained", "--no-verify"
    )
    assert found["fronts"]["slow"]
    verified = shell.command("verify", "--run", "untrained", "--device", "slow")
    assert verified["trained_now"] == len(verified["architectures"]) + len(verified["random"])
    assert all(0 <= one["measured"]["error"] <= 100 for one in verified["architectures"])


@pytest.mark.slow
def test_its_own_tests_pass(shell: Shell, site: Path) -> None:
    pytest_here = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(site))
    told = shell.run(*pytest_here, str(SOURCE / "conformance.py"))
    assert "6 passed" in told


@pytest.mark.slow
def test_doctor_and_profiles_know_it(shell: Shell) -> None:
    findings = {one["name"]: one for one in shell.command("doctor")["checks"]}
    assert findings["reference"]["ok"] and findings["device slow"]["ok"]
    assert shell.command("devices", "show", "slow")["options"]["copy_inputs"] is True
    energy = shell.command("devices", "check", "slow")["energy"]
    assert "ACPI" in (energy["sensor"] or energy["reason"]), "the agent asked for it"


def test_the_page_says_how_much_each_part_needed() -> None:
    rows = ROW.findall((ROOT / "docs" / "plugins.md").read_text())
    assert {part for part, *_ in rows} == {"space", "task", "backend", "metric", "sensor", "accuracy"}
    for part, names, files, lines in rows:
        paths = [SOURCE / "modnas_hw_example" / name for name in re.findall(r"`([^`]+)`", names)]
        count = sum(len(path.read_text().splitlines()) for path in paths)
        assert (len(paths), count) == (int(files), int(lines)), f"{part}: {len(paths)} files, {count} lines"
