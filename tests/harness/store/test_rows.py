"""Rows that are read from the store when they are looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store import Measurement, Store, StoredRows, StoreError
from harness.store.store import ROWS_AT_ONCE

MakeRow = Callable[..., Measurement]
COUNT = 2 * ROWS_AT_ONCE + 7


@pytest.fixture
def rows(make_row: MakeRow) -> StoredRows:
    """More than are read at once, newest first, of a store that was closed."""
    added = [make_row(key=f"k{n}", value=float(n)) for n in range(COUNT)]
    with Store() as store:
        store.add(*added)
        return StoredRows(store, [row.id for row in reversed(added)])


def test_they_are_a_sequence_in_the_order_of_the_ids(rows: StoredRows) -> None:
    expected = [float(n) for n in reversed(range(COUNT))]
    assert len(rows) == COUNT and bool(rows)
    assert [row.latency_ms for row in rows] == expected
    assert [row.latency_ms for row in rows[3:9:2]] == expected[3:9:2]
    assert (rows[0].latency_ms, rows[-1].latency_ms) == (expected[0], expected[-1])
    with pytest.raises(IndexError):
        rows[COUNT]


def test_a_row_may_be_there_twice_and_rows_may_be_none(make_row: MakeRow) -> None:
    with Store() as store:
        row = make_row()
        store.add(row)
        assert [found.key for found in StoredRows(store, [row.id, row.id])] == [row.key] * 2
        assert not StoredRows(store, []) and list(StoredRows(store, [])) == []


def test_a_closed_store_is_read_without_keeping_it_open(rows: StoredRows, home_folder: Path) -> None:
    assert rows[1].key and sum(1 for _ in rows) == COUNT
    assert not [file for file in _open_files() if file.startswith(str(home_folder))]


def test_a_row_that_is_gone_is_told_in_one_line(rows: StoredRows, home_folder: Path) -> None:
    with sqlite3.connect(home_folder / "store.sqlite") as connection:
        connection.execute("DELETE FROM measurements WHERE key = 'k5'")
    connection.close()
    with pytest.raises(StoreError, match="lost row 6"):
        list(rows)


def _open_files() -> list[str]:
    links = Path("/proc/self/fd").iterdir()
    return [str(link.readlink()) for link in links if link.exists()]
