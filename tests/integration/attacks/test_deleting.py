"""Install, profile and uninstall in folders where other things lie: all of them are there afterwards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attack_deleting import Person, Put, file, folder, link, snapshot
from boards_keys import missing_programs
from boards_loopback import LoopbackBoard

from harness.agent.archive import archive_bytes
from harness.boards.board import Board
from harness.core.errors import DeviceUnavailableError
from harness.devices.profile import DeviceProfile
from harness.export import Artifact
from harness.measure.session import DeviceSession
from harness.transport import ssh

HASH = "0123456789ab"
NETWORK = f"{HASH * 5}0123.onnx"
OLD_ARCHIVE = f"modnas_agent-{HASH}.pyz"
OLD_MANIFEST = {"version": HASH, "python": "/usr/bin/python3", "packages": None, "mode": "present"}


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Person]:
    if missing := missing_programs("sshd", "ssh-keygen"):
        pytest.skip(f"no {', '.join(missing)}; install openssh-server for boards on the loopback")
    (tmp_path / "user/.ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    board = LoopbackBoard(tmp_path / "loopback")
    yield Person(board, capsys, tmp_path / "home")
    board.stop()


# A folder that the profile names and that is not the agent's: what lies at its place.
FOREIGN: dict[str, Put] = {
    "photos": file("cat.jpg"),
    "hidden file": file(".cat.jpg"),
    "empty folder in it": folder("album"),
    "name of two lines": file("cat\n\x1b[31m.jpg"),
    "name that is not UTF-8": file(os.fsdecode(b"caf\xe9.jpg")),
    "link in it": link("../photos", "album"),
    "a file": file(),
    "link to photos": link("photos"),
    "link to nothing": link("nowhere"),
    "notes named like the agent": file("modnas_agent-notes.txt"),
    "archive of another name": file("modnas_agent-backup.pyz"),
    "archive with a longer name": file(f"{OLD_ARCHIVE}.bak"),
    "folder named like the agent": folder(OLD_ARCHIVE),
    "link named like the agent": link("../photos/cat.jpg", OLD_ARCHIVE),
    "manifest of another name": file("install-notes.json", json.dumps(OLD_MANIFEST).encode()),
    "manifest of something else": file("install-onnxruntime.json", b'{"packages": ["vim"]}'),
    "manifest that is no JSON": file("install-tvm.json", b"to do: install TVM"),
    "runtime": file(f"runtime-onnxruntime-{HASH}/notes.txt"),
    "artifacts": file("artifacts/model.onnx"),
    "artifacts by hash": file(f"artifacts/{NETWORK}"),
    "journal": file("journal/2024.json"),
    "lock": file("agent.lock"),
    "marker as a folder": folder(".modnas-agent.json"),
    "marker as a link": link("../photos/cat.jpg", ".modnas-agent.json"),
    "marker of another name": file(".modnas-agent.json.bak"),
}


@pytest.mark.parametrize("put", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_folder_is_refused_and_stays_as_it_is(person: Person, put: Put) -> None:
    put(person.agent)
    before = snapshot(person.board.directory)
    refused = person.types("agent install", code=3)
    assert str(person.agent) in refused and "nothing was written there" in refused
    profile = DeviceProfile.model_validate(person.board.endpoint.profile("pi", directory=str(person.agent)))
    with pytest.raises(DeviceUnavailableError, match="nothing was written there"):
        Board(profile).start_agent()
    assert person.types("agent uninstall", code=3 if os.path.lexists(person.agent) else 0)
    assert snapshot(person.board.directory) == before


@pytest.mark.parametrize("name", ["photos/../photos", "./photos", "nested/../photos", "album/in"])
def test_no_spelling_of_a_foreign_folder_gets_around_that(person: Person, name: str) -> None:
    (person.board.directory / "nested").mkdir()
    (person.board.directory / "real/in").mkdir(parents=True)
    (person.board.directory / "real/in/cat.jpg").write_bytes(b"cat")
    (person.board.directory / "album").symlink_to("real")
    person.names(name)
    before = snapshot(person.board.directory)
    for command in ("agent install", "agent uninstall"):
        person.types(command, code=3)
    assert person.measures(1, code=3)
    assert snapshot(person.board.directory) == before


def test_an_empty_home_is_nobodys_folder(person: Person, tmp_path: Path) -> None:
    home = person.board.directory / "empty"
    home.mkdir()
    profile = DeviceProfile.model_validate(person.board.endpoint.profile("pi", directory=str(home)))
    with Board(profile) as board:
        board.files.real_path = lambda path: str(home / "user") if path == "." else str(home)
        with pytest.raises(DeviceUnavailableError, match="is a home folder"):
            board.folder.check()


# What somebody puts into the agent's folder while the agent is installed: (where, what).
BESIDE: dict[str, Put] = {
    "cat.jpg": file(),
    ".hidden": file(),
    "cat\n\x1b[31m.jpg": file(),
    os.fsdecode(b"caf\xe9.jpg"): file(),
    "album": folder(),
    "photos of ours": link("../photos"),
    "modnas_agent-notes.txt": file(),
    "modnas_agent-backup.pyz": file(),
    f"modnas_agent-{HASH}": file("notes.txt"),
    f"{OLD_ARCHIVE}.old": file(),
    "install-notes.json": file(),
    "install-onnxruntime.json.bak": file(),
    "runtime-notes": file("notes.txt"),
    "runtime-onnxruntime-notes": file("notes.txt"),
    f"runtime-onnxruntime-{HASH}.zip": file(),
    "agent.lock.txt": file(),
    "artifacts/model.onnx": file(content=b"m" * (3 << 20)),
    "artifacts/1.so": file(),
    os.fsdecode(b"artifacts/caf\xe9.onnx"): file(),
    "artifacts/abcdef.onnx": file(),
    f"artifacts/{NETWORK.upper()}": file(),
    f"artifacts/{NETWORK}": folder(),
    f"artifacts/f{NETWORK[1:]}": link("../../photos/cat.jpg"),
    "artifacts/all": link("../../photos"),
    "artifacts/mine": file(f"{NETWORK}"),
    "journal/2024.json": file(),
    "journal/half.tmp": file(),
    f"journal/{HASH * 3}0123.txt": file(),
    f"journal/{HASH * 3}0123.json": link("../../photos/cat.jpg"),
    "journal/mine": file("notes.json"),
    "waiting/room.jpg": file(),
    f"waiting/{'0' * 20}-abcdef01": link("../../photos/cat.jpg"),
    f"waiting/{'1' * 20}-abcdef01": folder("notes.txt"),
}


@pytest.mark.slow
def test_what_lies_beside_the_agent_is_there_at_the_end(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed, measured until networks have to go, installed again, and removed."""
    monkeypatch.setattr(ssh, "ARTIFACTS_LIMIT_BYTES", 60_000)
    person.types("agent install")
    person.measures(1)
    for place, put in BESIDE.items():
        put(person.agent / place)
    foreign = {place: told for place, told in snapshot(person.board.directory).items() if _is_in(place)}
    assert {place.split("/")[1] for place in foreign if "/" in place} >= {p.split("/")[0] for p in BESIDE}
    person.measures(4)
    kept = [path for path in (person.agent / "artifacts").iterdir() if path.name.endswith(".onnx")]
    own = [path for path in kept if path.is_file() and len(path.name) == 69 and path.name.islower()]
    assert 0 < sum(path.lstat().st_size for path in own if not path.is_symlink()) <= 60_000, "some had to go"
    person.types("agent install")
    told = person.types("agent uninstall")
    assert "left there, not the agent's: " in told and "more" in told
    assert snapshot(person.agent) == {
        place.removeprefix("agent/"): told for place, told in foreign.items() if place.startswith("agent/")
    }
    assert (person.photos / "cat.jpg").exists()


def _is_in(place: str) -> bool:
    """Whether a place on the board is one of the table's, in it or above it."""
    if not place.startswith("agent/"):
        return False
    inner = place.removeprefix("agent/")
    return any(
        inner == known or inner.startswith(f"{known}/") or known.startswith(f"{inner}/") for known in BESIDE
    )


# What takes the place of something of the agent's after it was installed; refused, and left as it is.
IN_PLACE: dict[str, str] = {
    "artifacts is a link": "artifacts",
    "the agent's folder is a link": "",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PLACE.values(), ids=IN_PLACE)
def test_a_link_in_place_of_a_folder_is_not_followed(person: Person, name: str) -> None:
    person.types("agent install")
    place = person.agent / name if name else person.agent
    if place.exists():
        shutil.rmtree(place)
    place.symlink_to(person.photos)
    before = snapshot(person.photos)
    assert "link" in person.measures(1, code=3)
    if name:
        assert "left there" in person.types("agent uninstall")
    else:
        assert "link" in person.types("agent uninstall", code=3)
    assert snapshot(person.photos) == before and place.is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal", "agent.lock", "waiting"])
def test_the_agent_follows_no_link_either(person: Person, name: str) -> None:
    person.types("agent install")
    (person.agent / name).symlink_to(person.photos / ("cat.jpg" if name == "agent.lock" else ""))
    before = snapshot(person.photos)
    person.measures(1, code=0 if name == "journal" else 3)
    assert person.types("agent uninstall")
    assert snapshot(person.photos) == before and (person.agent / name).is_symlink()


@pytest.mark.slow
def test_a_board_of_an_earlier_version_is_taken_over_without_what_is_not_ours(person: Person) -> None:
    manifest = json.dumps({**OLD_MANIFEST, "runtime_version": "1.0"}).encode()
    for name, put in {
        OLD_ARCHIVE: file(),
        "install-onnxruntime.json": file(content=manifest),
        f"artifacts/{NETWORK}": file(),
        f"journal/{HASH * 3}0123.json": file(),
        f"runtime-onnxruntime-{HASH}": file("numpy/__init__.py"),
    }.items():
        put(person.agent / name)
    for name in ("cat.jpg", "runtime-notes/x", "artifacts/model.onnx"):
        file()(person.agent / name)
    person.measures(1)
    person.types("agent install")
    assert (person.agent / ".modnas-agent.json").is_file()
    person.types("agent uninstall")
    left = {name for name, told in snapshot(person.agent).items() if told != "folder"}
    assert left == {"cat.jpg", "runtime-notes/x", "artifacts/model.onnx"}


def test_a_manifest_alone_makes_an_earlier_versions_folder(person: Person) -> None:
    manifest = json.dumps({**OLD_MANIFEST, "runtime_version": "1.0"}).encode()
    file("install-onnxruntime.json", manifest)(person.agent)
    file("cat.jpg")(person.agent)
    assert "left there, not the agent's: cat.jpg" in person.types("agent uninstall")
    assert list(snapshot(person.agent)) == ["cat.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("existed", [False, True])
def test_an_installation_that_fails_leaves_what_it_found(
    person: Person, existed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        file("late.jpg")(person.agent)
        raise DeviceUnavailableError("no runtime")

    monkeypatch.setattr("harness.boards.install.facts", fail)
    if existed:
        person.agent.mkdir()
    person.types("agent install", code=3)
    assert list(snapshot(person.agent)) == ["late.jpg"], "what came meanwhile stays"
    (person.agent / "late.jpg").unlink()
    person.agent.rmdir()
    if existed:
        person.agent.mkdir()
    monkeypatch.setattr("harness.boards.install.facts", lambda *_, **__: 1 / 0)
    person.types("agent install", code=1)
    assert person.agent.exists() == existed and not list(person.agent.glob("*"))


# What becomes of the agent's own files on the board.
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage of the same size": lambda content: os.urandom(len(content)),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_of_the_agent_are_made_again(
    person: Person, damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.measures(2)
    (archive,) = person.agent.glob("*.pyz")
    networks = sorted((person.agent / "artifacts").iterdir())
    sound = {path: path.read_bytes() for path in (archive, *networks)}
    for path, content in sound.items():
        path.write_bytes(damage(content))
    for path in (person.agent / "journal").iterdir():
        path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setenv("MODNAS_STORE", f"sqlite:///{tmp_path}/other.sqlite")
    assert "measured 2" in person.measures(2)
    assert {path: path.read_bytes() for path in sound} == sound and archive.read_bytes() == archive_bytes()


def test_a_file_that_is_damaged_here_meanwhile_is_exported_again(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, damaged = DeviceSession.measure, []

    def damage_first(session: DeviceSession, artifact: Artifact, *rest: Any, **options: Any) -> Any:
        if artifact.path not in damaged:
            damaged.append(artifact.path)
            artifact.path.write_bytes(b"garbage")
        return measure(session, artifact, *rest, **options)

    monkeypatch.setattr(DeviceSession, "measure", damage_first)
    assert "measured 2" in person.measures(2) and damaged
