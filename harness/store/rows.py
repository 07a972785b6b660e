"""Rows of the store that are read when they are looked at: thousands need not be in memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from harness.store.models import Measurement
from harness.store.store import ROWS_AT_ONCE, Store


class StoredRows(Sequence[Measurement]):
    """Measurements by their ids, in that order. Each look reads anew: what changed a row changed its copy.

    Raises:
        StoreError: while reading, where the store is gone or cannot be read.
    """

    def __init__(self, store: Store, ids: Sequence[int]) -> None:
        self._store, self._ids = store, ids

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Measurement: ...
    @overload
    def __getitem__(self, index: slice) -> StoredRows: ...
    def __getitem__(self, index: int | slice) -> Measurement | StoredRows:
        if isinstance(index, slice):
            return StoredRows(self._store, self._ids[index])
        return self._store.read_measurements([self._ids[index]])[0]

    def __iter__(self) -> Iterator[Measurement]:
        for start in range(0, len(self._ids), ROWS_AT_ONCE):
            yield from self._store.read_measurements(self._ids[start : start + ROWS_AT_ONCE])
