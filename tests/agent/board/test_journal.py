"""The journal and the lock on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from modnas_agent.board.journal import Journal
from modnas_agent.board.lock import BoardLock


def result(id_: str) -> dict[str, Any]:
    return {"event": "result", "id": id_, "status": "ok"}


def test_the_journal_keeps_the_newest_and_survives_rubbish(tmp_path: Path) -> None:
    journal = Journal(tmp_path, kept=5)
    for index in range(120):
        journal.put(result(f"{index}"))
        newest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (index, index))
    assert journal.get("119") == result("119")
    assert journal.get("3") is None
    assert len(list(tmp_path.iterdir())) <= 5 + 51
    for path in tmp_path.glob("*.json"):
        path.write_bytes(b"\0" * 40)
    assert journal.get("119") is None


def test_the_journal_takes_any_id_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for id_ in ("../../etc/passwd", "a/b", "ü" * 100, "\ud800"):
        journal.put(result(id_))
        assert journal.get(id_) == result(id_)
    with pytest.raises(ValueError, match="JSON"):
        journal.put({**result("x"), "value": float("nan")})
    assert {path.suffix for path in (tmp_path / "journal").iterdir()} == {".json"}
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_the_lock_tells_its_holder(tmp_path: Path) -> None:
    first, second = BoardLock(tmp_path / "lock", "ada@desk"), BoardLock(tmp_path / "lock")
    assert second.holder() is None
    assert first.acquire("a", 60.0) and not second.acquire("b", 60.0)
    holder = second.holder()
    assert holder is not None
    assert (holder["pid"], holder["id"], holder["host"]) == (os.getpid(), "a", "ada@desk")
    first.release()
    assert second.holder() is None and second.acquire("b", 60.0)
    second.release()


HOLDER = """
import sys, time
from pathlib import Path
from modnas_agent.board.lock import BoardLock
assert BoardLock(Path(sys.argv[1]), "eve@lap").acquire("x", float(sys.argv[2]))
print("held", flush=True)
time.sleep(60)
"""


def hold(path: Path, lease_s: float) -> subprocess.Popen[bytes]:
    """Another process that takes the lock and never lets go of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(lease_s)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_a_holder_that_hangs_loses_the_lock_when_its_lease_is_over(tmp_path: Path) -> None:
    lock = BoardLock(tmp_path / "lock")
    with hold(tmp_path / "lock", 0.5) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert not lock.evict() and not lock.acquire("b", 60.0), "its lease runs"
        deadline = time.monotonic() + 20
        while not lock.evict() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.wait(20) == -signal.SIGKILL
        assert lock.acquire("b", 60.0)
        lock.release()


def test_nobody_is_ended_for_a_lease_that_runs_or_that_is_not_theirs(tmp_path: Path) -> None:
    lock, other = BoardLock(tmp_path / "lock"), tmp_path / "other"
    with hold(tmp_path / "lock", 60.0) as holder, hold(other, 60.0) as bystander:
        assert not lock.evict()
        content = json.loads((tmp_path / "lock").read_text())
        # Expired, but the number is that of a process which does not have the lock: reused, say.
        (tmp_path / "lock").write_text(json.dumps({**content, "expires_s": 0.0, "pid": bystander.pid}))
        assert not lock.evict()
        assert holder.poll() is None and bystander.poll() is None
        holder.kill()
        bystander.kill()


def test_pruning_the_journal_deletes_only_the_journals_files(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    (folder / "mine").mkdir(parents=True)
    (tmp_path / "cat.jpg").write_text("mine")
    names = ("2024.json", "half.tmp", f"{'ab' * 20}.txt", f"{'ab' * 20}.json.bak", "mine/x.json")
    for name in names:
        (folder / name).write_text("mine")
        os.utime(folder / name, (1, 1))
    (folder / f"{'cd' * 20}.json").symlink_to(tmp_path / "cat.jpg")
    (folder / f"{'ef' * 20}.json").mkdir()
    old, young = folder / f"{'ab' * 20}.1.tmp", folder / f"{'ab' * 20}.2.tmp"
    old.write_text("half")
    os.utime(old, (1, 1))
    young.write_text("half")
    journal = Journal(folder, kept=0)
    journal.put(result("x"))
    assert journal.get("x") is None, "nothing is kept"
    assert not old.exists() and young.exists(), "another agent may be writing it"
    assert all((folder / name).read_text() == "mine" for name in names)
    assert (folder / f"{'cd' * 20}.json").is_symlink() and (folder / f"{'ef' * 20}.json").is_dir()


def test_no_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_text("mine")
    (tmp_path / "journal").symlink_to("photos")
    (tmp_path / "agent.lock").symlink_to("photos/cat.jpg")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(tmp_path / "journal").put(result("x"))
    with pytest.raises(OSError, match="symbolic links"):
        BoardLock(tmp_path / "agent.lock").acquire("x", 60.0)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    assert (tmp_path / "photos/cat.jpg").read_text() == "mine"
