"""A name that nothing has is answered with the names that there are, wherever it is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli import main
from harness.devices.registry import device_names

SPACES = ("mobilenetv3", "nasbench201", "transformer")
METRICS = ("latency", "energy")
TASKS = ("digits", "fashion-mnist", "cifar10", "image-folder", "translation")
BACKENDS = ("onnxruntime", "torch", "tvm")
SENSORS = ("rapl", "nvml", "jetson", "pmic", "ina2xx", "battery", "csv")
PUBLISHED = ("nasbench201", "ofa", "hat")
METHODS = ("rs", "rhpn", "help", "nsga2", "re", "ls", "moasha")

SEARCH = ("search", "--devices", "cpu")
PROFILE = ("profile", "--device", "cpu")

# What is asked for, with the name `nope`, and the names that there are.
COMMANDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "search: space": ([*SEARCH, "--space", "nope"], SPACES),
    "search: task": ([*SEARCH, "--task", "nope"], TASKS),
    "search: preset": ([*SEARCH, "--preset", "nope"], ("quick", "small", "paper")),
    "search: objective": ([*SEARCH, "--objectives", "error,latency,nope"], METRICS),
    "search: constraint": ([*SEARCH, "--constraint", "nope=0.2"], METRICS),
    "search: scheme": ([*SEARCH, "--scheme", "nope"], ("mgd", "mean", "sequential", "sample")),
    "search: estimator": ([*SEARCH, "--estimator", "nope"], ("reinmax", "gdas")),
    "search: accuracy": ([*SEARCH, "--accuracy", "nope"], ("supernet", "surrogate")),
    "search: accelerator": ([*SEARCH, "--accelerator", "nope"], ("auto", "cpu", "cuda")),
    "profile: space": ([*PROFILE, "--space", "nope"], SPACES),
    "profile: backend": ([*PROFILE, "--backend", "nope"], BACKENDS),
    "profile: metrics": ([*PROFILE, "--metrics", "latency,nope"], METRICS),
    "profile: quantisation": ([*PROFILE, "--quantize", "nope"], ("int8",)),
    "profile: energy model": ([*PROFILE, "--energy-model", "nope"], ("tdp",)),
    "agent: backend": (["agent", "install", "--device", "raspi4", "--backend", "nope"], BACKENDS),
    "features: space": (["features", "--device", "cpu", "--space", "nope"], SPACES),
    "features: metric": (["features", "--device", "cpu", "--metric", "nope"], METRICS),
    "tune: space": (["tune", "--device", "cpu", "--space", "nope"], SPACES),
    "dataset build: space": (["dataset", "build", "--space", "nope"], SPACES),
    "dataset build: metric": (["dataset", "build", "--metric", "nope"], METRICS),
    "dataset show: space": (["dataset", "show", "--space", "nope"], SPACES),
    "dataset show: metric": (["dataset", "show", "--metric", "nope"], METRICS),
    "dataset fetch": (["dataset", "fetch", "nope", "--to", "x"], PUBLISHED),
    "dataset import: tables": (["dataset", "import", "nope", "--from", "x"], ("nasbench201", "ofa")),
    "dataset import: metric": (["dataset", "import", "x", "--device", "d", "--metric", "nope"], METRICS),
    "dataset import: space": (["dataset", "import", "x", "--device", "d", "--space", "nope"], SPACES),
    "dataset remove: metric": (["dataset", "remove", "--device", "d", "--metric", "nope"], METRICS),
    "dataset remove: space": (["dataset", "remove", "--device", "d", "--space", "nope"], SPACES),
    "predictor train: metric": (["predictor", "train", "--metric", "nope"], METRICS),
    "predictor train: space": (["predictor", "train", "--space", "nope"], SPACES),
    "predictor evaluate: metric": (["predictor", "evaluate", "--metric", "nope"], METRICS),
    "predictor predict: metric": (["predictor", "predict", "--device", "cpu", "--metric", "nope"], METRICS),
    "benchmark nasbench201": (
        ["benchmark", "nasbench201", "--data", "x", "--experiment", "nope"],
        ("main", "predictor", "schemes", "estimators", "constraints", "three-objectives", "device-fraction"),
    ),
    "benchmark ofa": (
        ["benchmark", "ofa", "--data", "x", "--experiment", "nope"],
        ("main", "predictor", "constraints", "published"),
    ),
    "benchmark hat": (["benchmark", "hat", "--data", "x", "--experiment", "nope"], ("main", "predictor")),
}

# What takes a device that can be measured, or a table.
DEVICES: dict[str, Sequence[str]] = {
    "devices show": ["devices", "show", "nope"],
    "devices check": ["devices", "check", "nope"],
    "profile": ["profile", "--device", "nope"],
    "profile, two": ["profile", "--device", "cpu", "--device", "nope"],
    "features": ["features", "--device", "nope"],
    "search": ["search", "--devices", "cpu,nope"],
    "tune": ["tune", "--device", "nope"],
    "agent status": ["agent", "status", "--device", "nope"],
    "dataset build": ["dataset", "build", "--device", "nope"],
    "predictor train": ["predictor", "train", "--device", "nope"],
    "predictor evaluate": ["predictor", "evaluate", "--device", "nope"],
    "predictor predict": ["predictor", "predict", "--device", "nope"],
}

RUNS: dict[str, Sequence[str]] = {
    "front": ["front", "--run", "nope", "--device", "cpu"],
    "verify": ["verify", "--run", "nope", "--device", "cpu"],
    "report": ["report", "--run", "nope"],
}


def assert_told(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], known: Sequence[str], name: str = "nope"
) -> None:
    """Exit 2, and one line with the name and all the known ones, on stderr and in the document."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 2
    output, errors = capsys.readouterr()
    message = json.loads(output)["error"]["message"]
    assert errors == f"error: {message}\n"
    missing = [one for one in known if one not in message]
    assert not missing, f"{missing} not in: {message}"
    assert name in message or "Input should be" in message, message


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert_told(capsys, *COMMANDS[name])


@pytest.fixture
def table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The name of a table device."""
    path = tmp_path / "values.csv"
    path.write_text("arch,value\n|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|,1.5\n")
    assert main(["dataset", "import", str(path), "--device", "my-table"]) == 0, capsys.readouterr().err
    return "my-table"


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize("command", DEVICES)
def test_unknown_device(capsys: pytest.CaptureFixture[str], table: str, command: str) -> None:
    shipped = device_names()
    assert {"cpu", "gpu", "raspi4"} <= set(shipped)
    only_profiles = command in ("agent status", "tune")  # a table is neither
    assert_told(capsys, DEVICES[command], shipped if only_profiles else [*shipped, table])


def test_unknown_table(capsys: pytest.CaptureFixture[str], table: str) -> None:
    assert_told(capsys, ["dataset", "remove", "--device", "nope"], [table])
    assert_told(
        capsys,
        ["dataset", "remove", "--device", table, "--metric", "energy"],
        ["latency nasbench201"],
        name="energy",
    )


def test_unknown_profile_of_ones_own(capsys: pytest.CaptureFixture[str], home_folder: Path) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text("name: mine\n")
    assert_told(capsys, ["devices", "remove", "nope"], ["mine"])


@pytest.mark.parametrize("command", RUNS)
def test_unknown_run(capsys: pytest.CaptureFixture[str], home_folder: Path, command: str) -> None:
    for name in ("first", "second"):
        (home_folder / "runs" / name).mkdir(parents=True)
        (home_folder / "runs" / name / "config.json").write_text("{}")
    assert_told(capsys, RUNS[command], ["first", "second"])


@pytest.mark.parametrize(
    ("field", "known"),
    [("backend: nope", BACKENDS), ("power_sensor: nope", SENSORS), ("power_sensor: {name: nope}", SENSORS)],
)
def test_unknown_name_in_a_profile(
    capsys: pytest.CaptureFixture[str], home_folder: Path, field: str, known: Sequence[str]
) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text(f"name: mine\n{field}\n")
    assert_told(capsys, ["profile", "--device", "mine"], known)


@pytest.mark.parametrize(
    ("option", "known"),
    [
        ("--method", METHODS),
        ("--devices", ("fpga", "raspi4", "eyeriss")),
        ("--dataset", ("cifar10", "cifar100", "in16")),
        ("--space", ("nasbench201",)),
    ],
)
def test_unknown_name_of_a_baselines_run(
    capsys: pytest.CaptureFixture[str], data_dir: Path, option: str, known: Sequence[str]
) -> None:
    assert_told(capsys, ["baselines", "--data", str(data_dir), option, "nope"], known)
