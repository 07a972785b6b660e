"""Metrics beside latency and energy from a measurement to a front: every command takes any of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_helpers import TINY
from sqlalchemy import inspect

from harness import Study
from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets.training_sets import (
    DatasetError,
    dataset_path,
    further_measurements,
    load_dataset,
)
from harness.runs.run import Run
from harness.runs.search import open_search
from harness.store import Measurement, Store
from harness.store.metrics import get_metric
from modnas.spaces import Space, get_space

# Inferences a second: more is better.
THROUGHPUT = """
from modnas.core.metric import Metric, Reading


def read(row):
    return Reading(1e3 * row.batch / row.latency_ms)


METRIC = Metric("throughput", "Hz", read, sense="maximise")
"""
QUICK_DEVICE = """
name: quick
policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5}
"""
Install = Callable[..., None]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def throughput(install_package: Install) -> None:
    install_package("extra-metrics", "modnas_hw.metrics", {"throughput": "METRIC"}, THROUGHPUT)


def run(capsys: Capture, *arguments: str) -> tuple[Any, str]:
    """JSON document and what was said."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    output, errors = capsys.readouterr()
    return json.loads(output), errors


def said(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """What a command says to a person."""
    capsys.readouterr()
    assert main([*arguments]) == code
    return capsys.readouterr().err


def board(folder: Path, factor: float) -> Path:
    """A table of 60 cells whose values grow with the operators."""
    space = get_space("nasbench201")
    cells = dict.fromkeys([*space.references, *space.sample(50, torch.Generator().manual_seed(3))])
    work = space.encode(list(cells)).view(-1, 6, 5) @ torch.tensor([0.0, 0.1, 1.0, factor, 0.5])
    lines = [f"{cell.string},{9 + value}\n" for cell, value in zip(cells, work.sum(1).tolist(), strict=True)]
    path = folder / f"{factor:g}.csv"
    path.write_text("arch,value\n" + "".join(lines))
    return path


METRICS = ["peak_memory", "load_time", "file_size", "throughput"]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.usefixtures("fake_agents", "throughput")
def test_profile_has_a_key_and_a_column_of_each_metric(capsys: Capture, name: str) -> None:
    metric = get_metric(name)
    command = ("profile", "--device", "cpu", "--archs", "3", "--metrics", f"latency,{name}", *TINY)
    found, _ = run(capsys, *command)
    assert all(one[metric.key] > 0 for one in found["measurements"])
    assert all(("peak_memory_mb" in one) == (name == "peak_memory") for one in found["measurements"])
    head = said(capsys, *command).splitlines()[1]
    assert metric.title in head and ("peak memory MB" in head) == (name == "peak_memory")


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.usefixtures("fake_agents", "throughput")
def test_predictors_are_made_of_each_metric(capsys: Capture, space: Space, name: str) -> None:
    metric = get_metric(name)
    of = ("--metric", name, *TINY)
    found, _ = run(capsys, "features", "--device", "cpu", *of)
    assert len(found[metric.key]) == 10 and min(found[metric.key]) > 0
    assert max(found["vector"]) == pytest.approx(1.0)
    assert metric.title in said(capsys, "features", "--device", "cpu", *of)
    run(capsys, "profile", "--device", "cpu", "--archs", "20", "--metrics", name, *TINY)
    built, _ = run(capsys, "dataset", "build", *of)
    assert built["metric"] == name
    (table,) = load_dataset(dataset_path(space, name), space)
    assert list(table.features) == found[metric.key]
    shown, _ = run(capsys, "dataset", "show", *of)
    assert shown["devices"] == built["devices"]
    assert f"{name} in {metric.suffix}" in said(capsys, "dataset", "show", *of)
    trained, _ = run(capsys, "predictor", "train", *of)
    judged, _ = run(capsys, "predictor", "evaluate", *of)
    assert judged["metric"] == trained["metric"] == name and judged["holdout"] == trained["holdout"]
    predicted, _ = run(capsys, "predictor", "predict", "--device", "cpu", *of)
    assert (predicted["metric"], predicted["unit"]) == (name, metric.suffix)
    for one, value in zip(predicted["predictions"], found[metric.key], strict=True):
        assert one["lower"] <= one["value"] <= one["upper"] and one["value"] == pytest.approx(value, rel=0.3)


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_the_predictor_chooses_further_measurements(capsys: Capture, space: Space) -> None:
    of = ("features", "--device", "cpu", "--references", "14", *TINY)
    assert "predictor train" in said(capsys, *of, code=2)
    run(capsys, "features", "--device", "cpu", *TINY)
    run(capsys, "profile", "--device", "cpu", "--archs", "12", *TINY)
    run(capsys, "predictor", "train", *TINY)
    found, _ = run(capsys, *of)
    chosen = {one["arch"]: one["value"] for one in found["further"]}
    assert len(chosen) == 4 and min(chosen.values()) > 0
    assert not set(chosen) & {a.id for a in space.references}
    with Store() as store:
        kept = further_measurements(store, "cpu", space, "latency")
    assert kept is not None and {a.id for a in kept.architectures} >= set(chosen)
    assert "further architecture" in said(capsys, *of)


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize(
    "command",
    [
        ("features", "--device", "cpu", "--metric", "beauty"),
        ("dataset", "build", "--metric", "beauty"),
        ("dataset", "show", "--metric", "beauty"),
        ("predictor", "train", "--metric", "beauty"),
        ("predictor", "predict", "--device", "cpu", "--metric", "beauty"),
        ("profile", "--device", "cpu", "--metrics", "latency,beauty"),
        ("search", "--devices", "cpu", "--objectives", "error,beauty"),
        ("search", "--devices", "cpu", "--constraint", "beauty=0.5"),
    ],
)
def test_an_unknown_metric_lists_the_known_ones(capsys: Capture, command: tuple[str, ...]) -> None:
    told = said(capsys, *command, code=2)
    assert "no metric 'beauty'; known: latency, energy, peak_memory, load_time, file_size" in told


def test_error_is_always_an_objective_and_the_rest_is_as_given() -> None:
    def objectives(text: str) -> Any:
        with Study(objectives=text) as study:
            return study.config.objectives

    assert objectives("latency,peak_memory") == ("error", "latency", "peak_memory")
    assert objectives("error,memory") == ("error", "peak_memory"), "latency need not be one"
    for wrong in ("error,error,latency", "memory,peak_memory", ",", "error"):
        with pytest.raises(UsageError, match="such as error,latency"):
            objectives(wrong)
    with Study(objectives=["latency", "peak_memory"], constraints=["memory=0.25"]) as study:
        assert study.config.settings.search["constraints"] == [None, 0.25]


@pytest.mark.usefixtures("fake_agents")
def test_rows_from_before_a_metric_are_measured_again_when_it_is_asked_for(
    capsys: Capture, space: Space
) -> None:
    command = ("profile", "--device", "cpu", "--archs", "3", *TINY)
    run(capsys, *command)
    columns = [column.key for column in inspect(Measurement).columns if column.key != "id"]
    with Store() as store:
        for row in store.device_measurements("cpu", space.name, space.variant):
            old = {key: value for key, value in row.record.items() if key != "load_time_ms"}
            store.add(Measurement(**{**{key: getattr(row, key) for key in columns}, "record": old}))
    plain, _ = run(capsys, *command)
    assert plain["reused"] == 3, "who asks for something else is not disturbed"
    timed, _ = run(capsys, *command, "--metrics", "load_time")
    assert (timed["measured"], timed["reused"]) == (3, 0)
    again, _ = run(capsys, *command, "--metrics", "load_time")
    assert (again["measured"], again["reused"]) == (0, 3)


@pytest.mark.usefixtures("fake_agents")
def test_a_search_for_what_a_device_cannot_tell_says_why(tiny_preset: str) -> None:
    with (
        Study(preset=tiny_preset, objectives="error,latency,energy") as study,
        pytest.raises(DatasetError, match=r"have no energy .* there was no power sensor"),
    ):
        study.search()


@pytest.mark.usefixtures("fake_agents")
def test_two_sessions_are_compared_in_each_metric(capsys: Capture) -> None:
    command = ("profile", "--device", "cpu", "--archs", "5", "--sessions", "2", *TINY)
    found, told = run(capsys, *command, "--metrics", "file_size")
    (compared,) = found["repeatability"]
    assert (compared["architectures"], compared["median_difference"]) == (5, 0.0)
    (sizes,) = compared["others"]
    assert (sizes["metric"], sizes["median_difference"]) == ("file_size", 0.0)
    assert sizes["kendall"] == pytest.approx(1.0)
    assert "repeatability of file_size over 5 architectures: Kendall tau 1.000" in told


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.usefixtures("fake_agents", "throughput")
def test_a_search_for_another_packages_metric_which_is_maximised(capsys: Capture, tiny_preset: str) -> None:
    command = ("search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine")
    result, _ = run(capsys, *command, "--objectives", "throughput,file_size")
    check_result(result, "cpu", ["throughput", "file_size"])
    for volume in result["verification"]["cpu"]["hypervolume_by_metric"].values():
        assert 0 <= volume["front"] <= 1 and 0 <= volume["random"] <= 1
    table = said(capsys, "front", "--run", "mine", "--device", "cpu")
    for column in ("throughput Hz (pred.)", "throughput Hz", "file size MB (pred.)", "file size MB"):
        assert column in table
    assert "latency" not in table
    again, told = run(capsys, "verify", "--run", "mine", "--device", "cpu")
    assert again["architectures"] == result["verification"]["cpu"]["architectures"]
    assert "Spearman of predicted and measured throughput " in told and ", file size " in told
    page = Path(result["report"]).read_text()
    for text in ("throughput Hz, measured", "file size MB, predicted", "predicted throughput, Hz"):
        assert text in page


def check_result(result: Any, device: str, names: list[str]) -> None:
    """That a search's document has the metrics, and no others, wherever it has figures."""
    keys = {get_metric(name).key for name in names}
    verified = result["verification"][device]
    assert verified["spearman"].keys() == verified["hypervolume_by_metric"].keys() == set(names)
    for entry in verified["architectures"]:
        assert len(entry["preference"]) == 1 + len(names)
        assert set(entry["predicted"]) == {"error"} | keys
        measured = [entry["measured"][key] for key in keys]
        # A table need not have what is found.
        assert "failure" in entry["measured"] if None in measured else min(measured) > 0
    for entry in verified["random"]:
        assert keys <= set(entry["measured"])


@pytest.mark.trains
def test_of_a_maximised_metric_a_search_sees_large_values_as_the_better_ones(
    capsys: Capture, tmp_path: Path, tiny_preset: str, throughput: None
) -> None:
    for metric in ("latency", "throughput"):
        command = ("dataset", "import", "--device", "board", "--metric", metric)
        run(capsys, *command, str(board(tmp_path, 3.0)))
    # A cell of pooling everywhere, and one of 3x3 convolutions, which have larger values in the table.
    small, large = (torch.eye(5)[operator].repeat(6).unsqueeze(0) for operator in (1, 3))
    cheaper = {}
    for metric in ("latency", "throughput"):
        with (
            Study(devices="board", preset=tiny_preset, objectives=metric, name=metric) as study,
            Store() as store,
        ):
            (entries,) = study.search().values()
            (device,) = open_search(Run.open(metric), store).search.devices
        cheaper[metric] = bool(device.predict(small) < device.predict(large))
        assert min(entry["predicted"][get_metric(metric).key] for entry in entries) > 0
    assert cheaper == {"latency": True, "throughput": False}


@pytest.mark.trains
def test_table_devices_have_the_metrics_of_their_tables(
    capsys: Capture, tmp_path: Path, tiny_preset: str
) -> None:
    command = ("dataset", "import", "--device", "board", "--metric", "peak_memory")
    assert "peak_memory is kept in mb" in said(
        capsys, *command, "--unit", "kB", str(board(tmp_path, 3.0)), code=2
    )
    run(capsys, *command, "--unit", "MB", str(board(tmp_path, 3.0)))
    with Study(devices="board", preset=tiny_preset, objectives="error,peak_memory", name="mine") as study:
        result = study.run()
    check_result(result, "board", ["peak_memory"])
    with (
        Study(devices="board", preset=tiny_preset, objectives="error,latency") as study,
        pytest.raises(DatasetError, match="have no latency"),
    ):
        study.search()
    removed, _ = run(capsys, "dataset", "remove", "--device", "board", "--metric", "memory")
    assert [entry["metric"] for entry in removed["removed"]] == ["peak_memory"]


@pytest.mark.slow
@pytest.mark.trains
def test_latency_and_peak_memory_on_this_machine(home_folder: Path, tiny_preset: str) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "quick.yaml").write_text(QUICK_DEVICE)
    with Study(
        devices="quick",
        preset=tiny_preset,
        objectives=("latency", "peak_memory"),
        constraints={"peak_memory": 0.25},
    ) as study:
        result = study.run()
        rows = [row for report in study.measure().values() for row in report.rows]
    check_result(result, "quick", ["latency", "peak_memory"])
    # Of the runtime alone some tens of MB; the networks of this preset add less than one.
    memory = [row.memory_mb for row in rows if row.memory_mb is not None]
    assert len(memory) == len(rows) and len(set(memory)) > 1 and max(memory) < 2 * min(memory)
