"""Failures that are stored: which are measured again, and what people are told about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone

from harness.store import Measurement
from harness.store.transient import is_transient

RETRY = "profile --retry-failed measures them again"
TOLD_CHARACTERS = 100
TOLD_KINDS = 3


def is_retried(row: Measurement, before: datetime | None) -> bool:
    """Whether a stored row is a failure, older than `before`, that is worth another try."""
    if before is None or not is_transient(row):
        return False
    made = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=timezone.utc)  # SQLite
    return made < before


def failure_text(row: Measurement, length: int = TOLD_CHARACTERS) -> str | None:
    """Reason and message of a failed row on one line of bounded length; None for every other row."""
    if row.status == "ok":
        return None
    message = " ".join((row.message or "").split())
    text = f"{row.reason}: {message}" if message else f"{row.reason}"
    return text if len(text) <= length else text[: length - 1] + "…"


class Failures:
    """Failures among rows, counted by their reasons: the rows themselves need not be kept."""

    def __init__(self, rows: Iterable[Measurement] = ()) -> None:
        self._rows = 0
        self._by_reason: Counter[str | None] = Counter()
        self._first: dict[str | None, str | None] = {}
        self._may_work_later = False
        for row in rows:
            self.count(row)

    @property
    def failed(self) -> int:
        """How many rows are failures."""
        return self._by_reason.total()

    def count(self, row: Measurement) -> None:
        """Count one more row."""
        self._rows += 1
        if row.status != "ok":
            self._by_reason[row.reason] += 1
            self._first.setdefault(row.reason, failure_text(row))
            self._may_work_later |= is_transient(row)

    def told(self, remembered: int = 0) -> str | None:
        """One line, the most frequent reason first; None where there are none.

        `remembered`: how many of them were not measured now but found in the store.
        """
        if not self.failed:
            return None
        hint = f": {RETRY}" if self._may_work_later else ""
        found = f" ({remembered} of them from the store{hint})" if remembered else ""
        return f"{self.failed} of {self._rows} failed{found}: {self._reasons()}"

    def _reasons(self) -> str:
        told = []
        for reason, count in self._by_reason.most_common(TOLD_KINDS):
            text = self._first[reason]
            told.append(f"{count} x {text}" if len(self._by_reason) > 1 else f"{text}")
        if len(self._by_reason) > TOLD_KINDS:
            told.append(f"{len(self._by_reason) - TOLD_KINDS} other reasons")
        return "; ".join(told)


def describe_failures(rows: Iterable[Measurement], remembered: int = 0) -> str | None:
    """One line on the failures among rows; see `Failures.told`."""
    return Failures(rows).told(remembered)
