"""What a run rests on is known by what it holds: other content is refused or another run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attack_identity import (
    SUFFIX,
    Lab,
    cifar_data,
    fashion_data,
    image_data,
    search,
    write_image,
)

import harness.runs.evaluation
import harness.runs.search
from harness.core.errors import UsageError
from harness.runs.run import Run
from harness.store import Store
from harness.study import Study

SHAPES = {"image-folder": "3x8x8", "cifar10": "3x32x32", "fashion-mnist": "1x28x28", "digits": "1x8x8"}
MAKE: dict[str, Callable[[Path], Path]] = {
    "image-folder": image_data,
    "cifar10": cifar_data,
    "fashion-mnist": fashion_data,
}
FIRST = f"train/cat/0.{SUFFIX}"


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    monkeypatch.setenv("MODNAS_DEBUG", "")
    return Lab(tmp_path, capsys)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches end where their predictors are fitted."""

    def stop(study: Study) -> None:
        (study.folder / "predictor.json").write_text("{}")
        raise UsageError("that is enough")

    monkeypatch.setattr(Study, "measure", stop)


def other_bytes(path: Path) -> None:
    """Another content of the same size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def with_times_restored(path: Path) -> None:
    before = path.stat()
    other_bytes(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copied_over(path: Path) -> None:
    """Replaced by a file of the same size and times, as `cp -p` and archives do."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    with_times_restored(other)
    other.replace(path)


# Task, what happens to the folder, what is said of it.
CHANGED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "same size": ("image-folder", lambda d: other_bytes(d / FIRST), f"1 of 22 files changed: {FIRST}"),
    "time restored": ("image-folder", lambda d: with_times_restored(d / FIRST), f"changed: {FIRST}"),
    "copied over": ("image-folder", lambda d: copied_over(d / FIRST), f"changed: {FIRST}"),
    "test image": ("image-folder", lambda d: other_bytes(d / "val/dog/1.bmp"), "changed: val/dog/1.bmp"),
    "renamed file": (
        "image-folder",
        lambda d: (d / FIRST).rename(d / "train/cat/9.bmp"),
        f"1 renamed: {FIRST} to train/cat/9.bmp",
    ),
    "moved to the other class": (
        "image-folder",
        lambda d: (d / FIRST).rename(d / "train/dog/9.bmp"),
        f"1 renamed: {FIRST} to train/dog/9.bmp",
    ),
    "swapped": ("image-folder", lambda d: swap(d / FIRST, d / "train/dog/0.bmp"), "2 of 22 files changed"),
    "renamed label": (
        "image-folder",
        lambda d: [(d / split / "cat").rename(d / split / "mouse") for split in ("train", "val")],
        "11 renamed: train/cat/0.bmp to train/mouse/0.bmp",
    ),
    "renamed label of one split": (
        "image-folder",
        lambda d: (d / "val/cat").rename(d / "val/mouse"),
        "3 renamed: val/cat/0.bmp",
    ),
    "added": ("image-folder", lambda d: write_image(d / "train/cat/77.bmp", 1), "1 new: train/cat/77.bmp"),
    "removed": ("image-folder", lambda d: (d / FIRST).unlink(), f"1 missing: {FIRST}"),
    "cut off": ("image-folder", lambda d: os.truncate(d / FIRST, 20), f"changed: {FIRST}"),
    "no test split": ("image-folder", lambda d: shutil.rmtree(d / "val"), "6 missing: val/cat/0.bmp"),
    "link elsewhere": ("image-folder", lambda d: link_to_copy(d / "train" / "cat"), f"changed: {FIRST}"),
    "batch": ("cifar10", lambda d: other_bytes(d / "data_batch_2.bin"), "changed: data_batch_2.bin"),
    "test batch": ("cifar10", lambda d: other_bytes(d / "test_batch.bin"), "changed: test_batch.bin"),
    "another batch": (
        "cifar10",
        lambda d: shutil.copy(d / "data_batch_1.bin", d / "data_batch_3.bin"),
        "1 new: data_batch_3.bin",
    ),
    "swapped batches": (
        "cifar10",
        lambda d: swap(d / "data_batch_1.bin", d / "data_batch_2.bin"),
        "2 of 3 files changed",
    ),
    "labels": (
        "fashion-mnist",
        lambda d: swap_labels(d / "train-labels-idx1-ubyte"),
        "changed: train-labels-idx1-ubyte",
    ),
}


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def swap_labels(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-2] + content[-1:] + content[-2:-1])


def link_to_copy(folder: Path) -> None:
    """The folder becomes a link to a copy, one file of which is another."""
    copy = folder.parents[2] / "copy"
    shutil.move(folder, copy)
    other_bytes(copy / FIRST.rpartition("/")[2])
    folder.symlink_to(copy)


@pytest.mark.parametrize("case", CHANGED)
def test_changed_content_is_refused_or_another_run(case: str, lab: Lab, begun: None) -> None:
    task, change, said = CHANGED[case]
    lab.import_table("tab", SHAPES[task])
    data = MAKE[task](lab.folder / "data")
    assert "that is enough" in lab.command(*search(task, data, "--run", "mine"))[2]
    assert "that is enough" in lab.command(*search(task, data))[2]
    before = lab.runs()
    config = (lab.folder / "home/runs/mine/config.json").read_bytes()
    change(data)
    line = lab.refusal(*search(task, data, "--run", "mine"))
    assert "run mine" in line and str(data) in line and said in line and "--run NAME" in line
    assert (lab.folder / "home/runs/mine/config.json").read_bytes() == config
    assert lab.runs() == before
    _, _, errors = lab.command(*search(task, data))
    if "that is enough" in errors:  # some changes leave no data to search on
        assert len(lab.runs()) == len(before) + 1
        assert "does not go on with run" in errors and said in errors


def touched(data: Path) -> Path:
    os.utime(data / FIRST, (1, 1))
    return data


def moved(data: Path) -> Path:
    return data.rename(data.with_name("elsewhere"))


def copied(data: Path) -> Path:
    return Path(shutil.copytree(data, data.with_name("copy"), copy_function=shutil.copy))


def linked(data: Path) -> Path:
    link = data.with_name("link")
    link.symlink_to(data)
    return link


def relative(data: Path) -> Path:
    os.chdir(data.parent)
    return Path(data.name)


def dotted(data: Path) -> Path:
    return data / "train" / ".."


def with_notes(data: Path) -> Path:
    (data / "notes.txt").write_text("not read")
    (data / "train/cat/.hidden.bmp").write_text("not read")
    (data / "train/cat/list.txt").write_text("not read")
    return data


def changed_back(data: Path) -> Path:
    content = (data / FIRST).read_bytes()
    other_bytes(data / FIRST)
    (data / FIRST).write_bytes(content)
    return data


def locked_away(data: Path) -> Path:
    (data / FIRST).chmod(0o400)
    return data


def without_cache(data: Path) -> Path:
    (data.parent / "home" / "hashes.sqlite").write_bytes(b"damaged" * 1000)
    return data


SAME = [
    touched,
    moved,
    copied,
    linked,
    relative,
    dotted,
    with_notes,
    changed_back,
    locked_away,
    without_cache,
]


@pytest.mark.parametrize("change", SAME)
def test_the_same_content_is_the_same_run(
    change: Callable[[Path], Path], lab: Lab, begun: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.folder)  # is undone, also where the case goes elsewhere
    lab.import_table("tab", "3x8x8")
    data = image_data(lab.folder / "data")
    for name in (("--run", "mine"), ()):
        _, _, errors = lab.command(*search("image-folder", data, *name))
        assert "does not go on" not in errors, "nothing is different from the other run but the name"
    before = lab.runs()
    now = change(data)
    for name in ((), ("--run", "mine")):
        _, _, errors = lab.command(*search("image-folder", now, *name))
        assert "that is enough" in errors and "does not go on" not in errors
    assert lab.runs() == before
    assert Run.open("mine").config.data_dir == str(now.absolute()), "where they were found last"


@pytest.mark.slow
def test_one_relative_name_in_two_folders(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.import_table("tab", "3x8x8")
    image_data(lab.folder / "A" / "data", seed=1)
    image_data(lab.folder / "B" / "data", seed=2)
    command = [part for part in search("image-folder", "data") if part != "--no-verify"]
    found = {}
    for place in ("A", "B"):
        monkeypatch.chdir(lab.folder / place)
        found[place] = lab.document(*command)
    a, b = found.values()
    assert a["run"] != b["run"]
    assert a["verification"]["tab"]["trained_now"] > 0 and b["verification"]["tab"]["trained_now"] > 0
    assert b["verification"]["tab"]["trainings_reused"] == 0, "nothing of one folder stands for the other"
    # From anywhere, and with the data somewhere else, the run is what it was.
    monkeypatch.chdir(lab.folder)
    front = lab.document("front", "--run", a["run"], "--device", "tab")["architectures"]
    assert front == a["fronts"]["tab"]
    again = lab.document("verify", "--run", a["run"], "--device", "tab")
    assert (again["trained_now"], again["architectures"]) == (
        0,
        a["verification"]["tab"]["architectures"],
    )
    (lab.folder / "A").rename(lab.folder / "C")
    monkeypatch.chdir(lab.folder / "C")
    moved_run = lab.document(*command)
    assert moved_run["run"] == a["run"] and moved_run["verification"]["tab"]["trained_now"] == 0


@pytest.fixture
def searched(lab: Lab) -> Path:
    """The data of a search called `mine` on the device `tab`."""
    lab.import_table("tab", "3x8x8")
    data = image_data(lab.folder / "data")
    lab.document(*search("image-folder", data, "--run", "mine"))
    return data


def test_reading_a_run_whose_data_changed_or_are_gone(lab: Lab, searched: Path) -> None:
    front = ("front", "--run", "mine", "--device", "tab")
    found = lab.document(*front)
    whole = (searched / FIRST).read_bytes()
    other_bytes(searched / FIRST)
    for command in (front, ("verify", *front[1:])):
        assert f"1 of 22 files changed: {FIRST}" in lab.refusal(*command)
    (searched / FIRST).write_bytes(whole)
    assert lab.document(*front) == found
    searched.rename(searched.with_name("away"))
    code, output, errors = lab.command(*front, "--json")
    assert code == 0 and json.loads(output) == found
    assert f"gone from {searched}" in errors
    for command in (("verify", *front[1:]), (*front, "--preferences", "5")):
        assert f"no longer in {searched}" in lab.refusal(*command)
    lab.document("report", "--run", "mine")
    assert "22 missing" in lab.refusal(*search("image-folder", searched, "--run", "mine"))


def test_data_that_change_during_a_training(
    lab: Lab, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = harness.runs.evaluation.train

    def disturbed(*arguments: Any, **options: Any) -> Any:
        result = train(*arguments, **options)
        other_bytes(searched / FIRST)
        return result

    monkeypatch.setattr(harness.runs.evaluation, "train", disturbed)
    code, output, errors = lab.command("verify", "--run", "mine", "--device", "tab")
    assert (code, output) == (2, "") and "changed while they were in use" in errors
    with Store() as store:
        assert store.counts()["evaluations"] == 0
    weights = lab.folder / "home" / "weights"
    assert not weights.exists() or not list(weights.iterdir())


@pytest.mark.slow
def test_data_that_change_during_a_search(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.import_table("tab", "3x8x8")
    data = image_data(lab.folder / "data")
    whole = (data / FIRST).read_bytes()
    epoch = harness.runs.search.Search.run_epoch

    def disturbed(search: Any) -> Any:
        stats = epoch(search)
        if search.epoch == 2:
            other_bytes(data / FIRST)
        return stats

    command = search("image-folder", data, "--run", "mine")
    monkeypatch.setattr(harness.runs.search.Search, "run_epoch", disturbed)
    _, _, errors = lab.command(*command)
    assert "changed while they were in use" in errors
    monkeypatch.undo()
    monkeypatch.setenv("MODNAS_HOME", str(lab.folder / "home"))
    assert f"changed: {FIRST}" in lab.refusal(*command)
    (data / FIRST).write_bytes(whole)
    _, _, errors = lab.command(*command)
    assert "1 of 2 epochs are done already" in errors, "up to where the data were still the same"


@pytest.mark.slow
def test_runs_and_evaluations_from_before_contents_were_recorded(
    lab: Lab, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name a path, which may have been relative: read, but nothing new is built on them."""
    path = lab.folder / "home/runs/mine/config.json"
    config = json.loads(path.read_text())
    old = {**config, "data_dir": searched.name}
    del old["data_sha256"], old["tables"]
    path.write_text(json.dumps(old))
    for file in ("data.json.gz", "references.json"):
        (path.parent / file).unlink()
    monkeypatch.chdir(searched.parent)
    front = ("front", "--run", "mine", "--device", "tab")
    code, _, errors = lab.command(*front)
    assert code == 0 and "cannot be told" in errors
    lab.document("report", "--run", "mine")
    assert "began before" in lab.refusal(*search("image-folder", searched, "--run", "mine"))
    old["data_dir"] = str(searched)
    path.write_text(json.dumps(old))
    _, _, errors = lab.command(*search("image-folder", searched))
    assert "does not go on with run mine: what data that began with is not recorded" in errors
    old["data_dir"] = searched.name
    path.write_text(json.dumps(old))
    assert json.loads(path.read_text()) == old
    verified = lab.document("verify", *front[1:])
    assert verified["trained_now"] > 0 and verified["trainings_reused"] == 0
    monkeypatch.chdir(lab.folder / "home")
    assert "seen from where the search was started" in lab.refusal("verify", *front[1:])


def reimported(lab: Lab) -> None:
    lab.import_table("tab", "3x8x8", scale=1.0)


TABLES: dict[str, tuple[Callable[[Lab], None], str | None]] = {
    "other values": (lambda lab: lab.import_table("tab", "3x8x8", scale=2.0), "values changed"),
    "more values": (lambda lab: lab.import_table("tab", "3x8x8", count=60), "20 values are new"),
    "the same again": (reimported, None),
    "fewer of the same": (lambda lab: lab.import_table("tab", "3x8x8", count=20), None),
    "another device's": (lambda lab: lab.import_table("spare", "3x8x8"), None),
    "of another size": (lambda lab: lab.import_table("tab", "1x8x8"), None),
}


@pytest.mark.parametrize("case", TABLES)
def test_imports_after_a_search(case: str, lab: Lab, begun: None) -> None:
    lab.import_table("tab", "3x8x8")
    data = image_data(lab.folder / "data")
    for name in ((), ("--run", "mine")):
        lab.command(*search("image-folder", data, *name))
    before = lab.runs()
    change, said = TABLES[case]
    change(lab)
    if said is None:
        for name in ((), ("--run", "mine")):
            assert "that is enough" in lab.command(*search("image-folder", data, *name))[2]
        assert lab.runs() == before
    else:
        line = lab.refusal(*search("image-folder", data, "--run", "mine"))
        assert said in line and "table of latency on tab" in line
        _, _, errors = lab.command(*search("image-folder", data))
        assert "that is enough" in errors and "the tables of its devices have changed" in errors
        assert len(lab.runs()) == len(before) + 1


def test_reading_a_run_whose_table_was_replaced(lab: Lab, searched: Path) -> None:
    lab.import_table("tab", "3x8x8", scale=3.0)
    for command in ("front", "verify"):
        assert "values changed" in lab.refusal(command, "--run", "mine", "--device", "tab")
    lab.import_table("tab", "3x8x8", scale=1.0)
    assert lab.document("front", "--run", "mine", "--device", "tab")["architectures"]


def test_replaced_weights_are_another_run(lab: Lab, searched: Path) -> None:
    weights = lab.folder / "weights.safetensors"
    shutil.copy(lab.folder / "home/runs/mine/checkpoint.safetensors", weights)
    command = search("image-folder", searched, "--weights", str(weights), "--run", "heavy")
    lab.document(*command)
    more = ("--run", "other", "--seed", "3")
    lab.document(*search("image-folder", searched, *more))
    stat = weights.stat()
    shutil.copy(lab.folder / "home/runs/other/checkpoint.safetensors", weights)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "weights_sha256" in lab.refusal(*command)


def test_a_name_is_the_home_s_run_wherever_one_is(
    lab: Lab, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config.json` is a common name: a folder that is called like a run is not it."""
    other = lab.folder / "project" / "mine"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.chdir(other.parent)
    assert lab.document("front", "--run", "mine", "--device", "tab")["architectures"]
    assert "damaged" in lab.refusal("report", "--run", "./mine")


def test_a_command_that_failed_early_does_not_keep_its_name(lab: Lab, begun: None) -> None:
    """Nothing was learned from the wrong folder: the right one may have the name."""
    lab.import_table("tab", "3x8x8")
    wrong, right = lab.folder / "wrong", image_data(lab.folder / "right")
    wrong.mkdir()
    assert "no folder train" in lab.refusal(*search("image-folder", wrong, "--run", "mine"))
    assert "no folder train" in lab.refusal(*search("image-folder", lab.folder / "typo", "--run", "mine"))
    assert "that is enough" in lab.command(*search("image-folder", right, "--run", "mine"))[2]


def test_a_second_look_reads_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.datasets import fingerprint
    from harness.datasets.task_content import look_at

    data = image_data(lab.folder / "data")
    time.sleep(2.1)  # until then a later change might get the same times
    first = look_at("image-folder", str(data))
    monkeypatch.setattr(fingerprint, "_hash", lambda path: pytest.fail(f"{path} was read"))
    assert look_at("image-folder", str(data)) == first
