"""What in the agent's folder is the agent's, and what is left when that is taken away."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modnas_agent import folder as module
from modnas_agent.folder import (
    LIST,
    MARKER,
    clear,
    entries,
    is_agents,
    record,
    remove,
    remove_tree,
    take_away,
)

HASH = "0123456789ab"
RUNTIME = f"runtime-onnxruntime-{HASH}"
OWN = (
    MARKER,
    f"{MARKER}.01234567.part",
    f"modnas_agent-{HASH}.pyz",
    f"modnas_agent-{HASH}.pyz.01234567.part",
    "install-onnxruntime.json",
    "install-tvm.json",
    f"{RUNTIME}.tar.gz",
    f"{RUNTIME}.tar.gz.89abcdef.part",
    "agent.lock",
    f"{RUNTIME}/numpy/__init__.py",
    f"{RUNTIME}.part/half",
    f"artifacts/{'ab' * 32}.onnx",
    f"artifacts/{'ab' * 32}.int8.onnx",
    f"artifacts/{'ab' * 32}.so.01234567.part",
    f"journal/{'ab' * 20}.json",
    f"journal/{'ab' * 20}.123.tmp",
    f"waiting/{'0' * 20}-{'ab' * 4}",
)


def put(folder: Path, *places: str) -> None:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_everything_of_the_agents_goes(tmp_path: Path) -> None:
    put(tmp_path / "agent", *OWN)
    assert take_away(tmp_path / "agent") == [] and not (tmp_path / "agent").exists()


@given(
    name=st.sampled_from(OWN), change=st.sampled_from(["x", " ", ".bak", "~", "\n", ".pyz"]), at=st.booleans()
)
def test_no_other_name_is_the_agents(
    tmp_path_factory: pytest.TempPathFactory, name: str, change: str, at: bool
) -> None:
    """A name of the agent's with something before or after it."""
    parts = Path(name).parts
    changed = Path(f"{change}{parts[0]}" if at else f"{parts[0]}{change}", *parts[1:])
    folder = tmp_path_factory.mktemp("agent")
    put(folder, str(changed))
    told = take_away(folder)
    assert told == [changed.parts[0]] and (folder / changed).read_text() == str(changed)


@pytest.mark.parametrize("name", sorted({name.split("/")[0] for name in OWN}))
def test_what_is_of_another_kind_stays(tmp_path: Path, name: str) -> None:
    """A link under each name, and a folder where a file is expected, or the other way about."""
    put(tmp_path, "photos/cat.jpg", "link/cat.jpg", "other/cat.jpg")
    (tmp_path / "link" / name).symlink_to(tmp_path / "photos")
    is_file = any(own == name for own in OWN)
    (tmp_path / "other" / name).mkdir() if is_file else put(tmp_path / "other", name)
    for kind in ("link", "other"):
        assert not is_agents(entries(tmp_path / kind))
        assert take_away(tmp_path / kind) == sorted(["cat.jpg", name])
        assert left(tmp_path / kind) == {"cat.jpg", name}
    assert left(tmp_path / "photos") == {"cat.jpg"}


@pytest.mark.parametrize("name", [name for name in OWN if name.startswith(("artifacts", "journal"))])
def test_so_it_does_within_a_folder(tmp_path: Path, name: str) -> None:
    put(tmp_path, "photos/cat.jpg")
    (tmp_path / "agent" / name).mkdir(parents=True)
    (tmp_path / "agent" / name.replace("ab", "cd")).symlink_to(tmp_path / "photos")
    before = left(tmp_path)
    assert len(take_away(tmp_path / "agent")) == 2 and left(tmp_path) == before


def test_only_named_entries_are_removed_and_only_own_ones(tmp_path: Path) -> None:
    put(tmp_path, *OWN, "cat.jpg")
    assert remove(tmp_path, ["agent.lock", "cat.jpg", RUNTIME]) == ["cat.jpg"]
    assert {"cat.jpg", MARKER} < left(tmp_path)
    assert not {"agent.lock", RUNTIME} & left(tmp_path)


def test_what_somebody_put_into_a_runtime_stays(tmp_path: Path) -> None:
    tree = tmp_path / RUNTIME
    put(tree, "lib/numpy/core.py", "bin/python", "lib/numpy/data/table")
    (tree / "lib64").symlink_to("lib")
    put(tmp_path, "photos/cat.jpg")
    record(tree)
    put(tree, "lib/numpy/notes.txt", "mine/cat.jpg", "lib/numpy/__pycache__/core.cpython-311.pyc")
    put(tree, "lib/numpy/__pycache__/core.cpython-311.txt", "lib/numpy/__pycache__/other.cpython-311.pyc")
    (tree / "lib/numpy/album").symlink_to(tmp_path / "photos")
    (tree / "lib/numpy/data/table").unlink()
    (tree / "lib/numpy/data").rmdir()
    (tree / "lib/numpy/data").symlink_to(tmp_path / "photos")
    with pytest.raises(SystemExit, match=r"holds files that are not the agent's .*move them away"):
        clear(tree)
    told = remove_tree(tree)
    assert set(told) == {
        "lib/numpy/__pycache__/core.cpython-311.txt",
        "lib/numpy/__pycache__/other.cpython-311.pyc",
        "lib/numpy/album",
        "lib/numpy/data",
        "lib/numpy/notes.txt",
        "mine",
        "mine/cat.jpg",
    }
    assert set(told) <= left(tree) and "lib/numpy/core.py" not in left(tree) and "lib64" not in left(tree)
    assert (tmp_path / "photos/cat.jpg").exists()
    for place in ("lib", "mine"):
        subprocess.run(["rm", "-r", str(tree / place)], check=True)
    clear(tree)
    assert not tree.exists(), "without those it goes"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}'])
def test_a_list_that_is_damaged_counts_as_none(tmp_path: Path, content: str) -> None:
    put(tmp_path / RUNTIME, "lib/core.py")
    (tmp_path / RUNTIME / LIST).write_text(content)
    assert remove_tree(tmp_path / RUNTIME) == [] and not (tmp_path / RUNTIME).exists()


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As it runs on a board: by itself, from its source."""
    command = [sys.executable, "-I", "-", *arguments]
    source = Path(module.__file__).read_text()
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


def test_unpacked_by_itself_and_taken_away(tmp_path: Path) -> None:
    archive, tree = tmp_path / f"{RUNTIME}.tar.gz", tmp_path / RUNTIME
    put(tree, "old/version")  # without a list: an earlier version's
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        info = tarfile.TarInfo("numpy/__init__.py")
        tar.addfile(info)
    archive.write_bytes(content.getvalue())
    digest = sha256(content.getvalue()).hexdigest()
    assert "not what was sent" in program("unpack", str(tree), str(archive), "0" * 64).stderr
    assert not archive.exists() and left(tree) == {"old", "old/version"}
    archive.write_bytes(content.getvalue())
    done = program("unpack", str(tree), str(archive), digest)
    assert json.loads(done.stdout) == {"left": [], "count": 0, "there": True}, done.stderr
    assert left(tmp_path) == {RUNTIME, *(f"{RUNTIME}/{n}" for n in ("numpy", "numpy/__init__.py", LIST))}
    put(tmp_path, "cat.jpg")
    assert json.loads(program("take-away", str(tmp_path)).stdout) == {
        "left": ["cat.jpg"],
        "count": 1,
        "there": True,
    }
    assert left(tmp_path) == {"cat.jpg"}
    assert program("take-away", str(tmp_path / "nowhere")).returncode == 1


def test_nobodys_home_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home/ada"))
    put(tmp_path / "home/ada", MARKER)
    assert take_away(tmp_path / "home/ada") == [] and (tmp_path / "home/ada").exists()
    assert take_away(tmp_path / "home") == ["ada"]
