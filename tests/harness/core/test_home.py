"""The home folder and whole-file replacement."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.home import home, read_kept, store_address, subfolder, typed_path, write_atomically
from harness.core.system_errors import told


def test_home_is_made_and_named_by_the_environment(home_folder: Path) -> None:
    assert not home_folder.exists()
    assert home() == home_folder and home_folder.is_dir()
    assert subfolder("runs") == home_folder / "runs" and (home_folder / "runs").is_dir()
    assert list(home_folder.iterdir()) == [home_folder / "runs"], "the probe for writing leaves nothing"


def test_store_is_in_the_home_unless_named(home_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_address() == home_folder / "store.sqlite"
    monkeypatch.setenv("MODNAS_STORE", "postgresql://host/db")
    assert store_address() == "postgresql://host/db"


@pytest.mark.parametrize("below", ["file/home", "/proc/modnas-home"])
def test_unwritable_home_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / below))
    with pytest.raises(UsageError, match="MODNAS_HOME") as caught:
        home()
    assert caught.value.exit_code == 2 and str(tmp_path / below) in str(caught.value)


@pytest.mark.parametrize("data", ["text ü", b"\0bytes"])
def test_write_replaces_the_whole_file(tmp_path: Path, data: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("something that was longer before")
    write_atomically(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path], "nothing half-written is left behind"


def test_typed_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert typed_path("~/a b") == tmp_path / "home" / "a b"
    assert typed_path("a") == tmp_path / "a" and typed_path("/a") == Path("/a")
    assert typed_path("~nobody-here/a") == tmp_path / "~nobody-here" / "a"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    before = path.stat()
    with pytest.raises(OSError, match=str(path)):
        write_atomically(path, "new")
    assert path.stat().st_mode == before.st_mode and [*tmp_path.iterdir()] == [path]


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.write_text("theirs")
    name = f".file.{os.getpid()}-{threading.get_native_id()}.tmp"
    (tmp_path / name).symlink_to(others)
    write_atomically(tmp_path / "file", "ours")
    assert (others.read_text(), (tmp_path / "file").read_text()) == ("theirs", "ours")


def test_a_failed_write_says_which_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match=str(tmp_path / "file")) as caught:
        write_atomically(tmp_path / "file", "new")
    assert "MB free" in told(caught.value) and str(tmp_path / "file") in told(caught.value)


def test_what_is_kept_is_read_from_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file"):
        read_kept(tmp_path / "pipe")
