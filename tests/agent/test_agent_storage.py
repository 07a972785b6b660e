"""The journal and the lock on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from modnas_agent.journal import Journal
from modnas_agent.lock import BoardLock


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
    first, second = BoardLock(tmp_path / "lock"), BoardLock(tmp_path / "lock")
    assert second.holder() is None
    assert first.acquire("a") and not second.acquire("b")
    holder = second.holder()
    assert holder is not None and (holder["pid"], holder["id"]) == (os.getpid(), "a")
    first.release()
    assert second.holder() is None and second.acquire("b")
    second.release()
