"""Content of tasks and tables, and what was recorded before it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from harness_helpers import FakeAgent

from harness.cli import main
from harness.datasets.task_content import PACKAGED, absolute, identity, look_at
from harness.datasets.training_sets import device_features
from harness.devices.table import StoredTable
from harness.export import quantize
from harness.runs.evaluation import evaluate_architectures
from harness.runs.run import Run, RunConfig
from harness.runs.search import open_search
from harness.store import Evaluation, Measurement, Store, content_key
from modnas.spaces import Space
from modnas.spaces.nasbench201.presets import PRESETS
from modnas.tasks import TASK_NAMES
from modnas.tasks.data_files import data_files


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            (folder / f"{split}.{language}").write_text(f"{split} {language}\n")
    return folder


def of_texts(folder: Path) -> str | None:
    return identity("translation", look_at("translation", str(folder)))


TEXT_CHANGES: dict[str, Callable[[Path], Any]] = {
    "a word": lambda d: (d / "train.de").write_text("train dx\n"),
    "the test text": (lambda d: (d / "test.en").write_text("text en\n")),
    "sides swapped": lambda d: [
        (d / "train.de").rename(d / "x"),
        (d / "train.en").rename(d / "train.de"),
        (d / "x").rename(d / "train.en"),
    ],
    "a file more": lambda d: (d / "train.clean.de").write_text("more\n"),
    "another language": lambda d: [
        (d / f"{split}.en").rename(d / f"{split}.fr") for split in ("train", "valid", "test")
    ],
}


@pytest.mark.parametrize("change", TEXT_CHANGES)
def test_other_text_is_another_content(texts: Path, change: str) -> None:
    before = of_texts(texts)
    TEXT_CHANGES[change](texts)
    assert of_texts(texts) != before


def test_the_folder_s_name_counts_where_it_says_what_is_translated(texts: Path) -> None:
    """XX-YY in it makes XX the source; other names say nothing."""
    before = of_texts(texts)
    texts = texts.rename(texts.with_name("corpus2"))
    (texts / "README").write_text("not read")
    assert of_texts(texts) == before
    texts = texts.rename(texts.with_name("en-de"))
    assert of_texts(texts) not in (before, None)
    texts = texts.rename(texts.with_name("de-en"))
    assert of_texts(texts) == before


def test_a_dictionary_file(tmp_path: Path) -> None:
    file = tmp_path / "dictionary"
    file.write_text("a :: b\n")
    before = of_texts(file)
    file.write_text("a :: c\n")
    assert of_texts(file) not in (before, None)


def test_digits_need_no_mention() -> None:
    assert identity("digits", look_at("digits")) is None, "what scikit-learn brings is what it always was"
    assert absolute("digits", Path("anywhere")) is None
    assert set(PACKAGED) < set(TASK_NAMES)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_lists_its_files(task: str, tmp_path: Path) -> None:
    files = data_files(task, tmp_path)
    assert (files.names == []) == (task != "digits"), "an empty folder has none"


def state(**fields: Any) -> Any:
    settings = PRESETS["quick"]
    settings = settings.model_copy(
        update={
            "task_limit": 100,
            "task_side": 8,
            "recipe": settings.recipe.model_copy(update={"epochs": 1, "repeats": 1}),
        }
    )
    config = RunConfig(
        space="nasbench201", task="digits", devices=("cpu",), preset="quick", settings=settings, **fields
    )
    task = config.make_task()
    return SimpleNamespace(run=SimpleNamespace(config=config), space=config.make_space(task), task=task)


def old_key(of: Any, architecture: Any, data_dir: str | None) -> str:
    """As versions before contents were recorded made it."""
    settings = of.run.config.settings
    return content_key(
        {
            "arch": architecture.id,
            "variant": of.space.variant,
            "task": "digits",
            "data_dir": data_dir,
            "limit": settings.task_limit,
            "recipe": settings.recipe.model_dump(exclude={"inherit"}),
            "seed": 0,
        }
    )


def test_evaluations_on_digits_stay_valid() -> None:
    """Their content cannot have been another."""
    of = state()
    cell = of.space.references[0]
    with Store() as store:
        store.add(
            Evaluation(
                key=old_key(of, cell, None),
                space=of.space.name,
                variant=of.space.variant,
                arch=cell.string,
                task="digits",
                error=12.5,
                seconds=1.0,
                created_at=datetime.now(timezone.utc),
                recipe={},
                losses=[1.0],
            )
        )
        assert evaluate_architectures(of, [cell], store)[cell].error == 12.5


def test_other_digits_are_another_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another version may bring others."""
    from modnas.tasks import data_files as module

    (tmp_path / "digits.csv.gz").write_bytes(b"others")
    listed = module.DataFiles(tmp_path, ["digits.csv.gz"])
    with Store() as store:
        of = state()
        cell = of.space.references[0]
        evaluate_architectures(of, [cell], store)
        monkeypatch.setitem(module._FILES, "digits", lambda _data_dir: listed)
        assert identity("digits", look_at("digits")) is not None
        quantize._image_calibration.cache_clear()
        images = of.space.inputs(cell)
        assert quantize.calibration(images).startswith(f"{quantize.IMAGES}:")
        seen: list[bool] = []
        evaluate_architectures(state(), [cell], store, lambda _row, trained: seen.append(trained))
        assert seen == [True]
    monkeypatch.undo()
    quantize._image_calibration.cache_clear()
    assert quantize.calibration(images) == quantize.IMAGES, "what was measured before still answers"


def test_names_of_runs_from_before_contents_were_recorded(tiny_preset: str) -> None:
    """Where nothing new is known of a run it is the same run."""
    fields = ("space", "task", "data_dir", "devices", "objectives", "preset", "settings", "seed")
    for data_dir in (None, "data"):
        config = RunConfig(
            space="nasbench201",
            task="digits" if data_dir is None else "cifar10",
            data_dir=data_dir,
            devices=("cpu",),
            preset=tiny_preset,
            settings=PRESETS[tiny_preset],
        )
        document = config.model_dump(mode="json")
        later = {"weights_sha256", "choice", "evaluated_by", "accuracy_function", "measure"}
        assert set(document) == {*fields, "evaluations", "accelerator", *later}
        for name in later:
            del document[name]
        assert config.default_name.endswith(content_key(document)[:6])


def test_where_data_lie_is_no_part_of_a_name() -> None:
    base = state(data_dir="/a", data_sha256="1" * 64).run.config
    assert base.default_name == base.model_copy(update={"data_dir": "/b"}).default_name
    assert base.default_name != base.model_copy(update={"data_sha256": "2" * 64}).default_name
    assert base.default_name != base.model_copy(update={"tables": {"cpu": {"latency": "3"}}}).default_name


def test_changes_of_a_table_in_words() -> None:
    before = StoredTable("d", "v", ("f",), {"a": 1.0, "b": 2.0})
    assert StoredTable("d", "v", ("g",), {"b": 2.0, "a": 1.0}).sha256 == before.sha256
    after = StoredTable("d", "v", ("f",), {"a": 1.5, "b": 2.0, "c": 3.0})
    assert after.sha256 != before.sha256
    assert after.changes_since(before) == "1 of 2 values changed: a; 1 values are new"
    other = StoredTable("d", "w", ("f",), before.values)
    assert other.sha256 != before.sha256 and "size w, not v" in other.changes_since(before)


def searched(tiny_preset: str, capsys: pytest.CaptureFixture[str]) -> Run:
    command = ("search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine", "--no-verify")
    assert main(command) == 0, capsys.readouterr().err
    return Run.open("mine")


@pytest.mark.slow
def test_a_search_goes_on_with_the_measurements_that_it_began_with(
    fake_agents: list[FakeAgent], tiny_preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictors are of what a device was when they were fitted."""
    run = searched(tiny_preset, capsys)
    with Store() as store:
        before = open_search(run, store)
        sized: Space = before.space
        found = before.read_front(store, "cpu", 3)
        old = device_features(store, "cpu", sized)
        for number, row in enumerate(store.device_measurements("cpu", sized.name, sized.variant)):
            columns = {c.key: getattr(row, c.key) for c in Measurement.__table__.columns if c.key != "id"}
            store.add(Measurement(**{**columns, "latency_ms": 1.0 + number}))
        assert device_features(store, "cpu", sized) != old
        after = open_search(run, store)
        assert after.read_front(store, "cpu", 3) == found
        assert torch.equal(after.search.devices[0].features, before.search.devices[0].features)


def test_a_device_that_became_a_table(
    fake_agents: list[FakeAgent],
    tiny_preset: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    home_folder: Path,
) -> None:
    """A table hides a shipped profile of its name: a run that measured the device is not about the table."""
    (home_folder / "devices").mkdir(parents=True)
    run = searched(tiny_preset, capsys)
    config = json.loads((run.path / "config.json").read_text())
    config["devices"] = ["raspi4"]
    (run.path / "config.json").write_text(json.dumps(config))
    sized = run.config.make_space(run.config.make_task())
    rows = "\n".join(f"{a.string},{n + 1}" for n, a in enumerate(sized.references))
    (tmp_path / "t.csv").write_text(f"arch,value\n{rows}\n")
    sizes = ("--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8", "--set", "classes=10")
    assert (
        main(["dataset", "import", str(tmp_path / "t.csv"), "--device", "raspi4", "--replace", *sizes]) == 0
    )
    capsys.readouterr()
    assert main(["front", "--run", "mine", "--device", "raspi4"]) == 2
    assert "was measured when the run began" in capsys.readouterr().err


def test_a_folder_is_kept_as_it_is_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves the `~` of `--data-dir=~/images` to us."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("image-folder", Path("~/images")) == str(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    assert absolute("image-folder", Path("images")) == str(tmp_path / "images")
