"""Failures that are stored: which are measured again, and what people are told about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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


def describe_failures(rows: Sequence[Measurement], remembered: int = 0) -> str | None:
    """One line on the failures among rows, the most frequent reason first; None where there are none.

    `remembered`: how many of them were not measured now but found in the store.
    """
    failed = [row for row in rows if row.status != "ok"]
    if not failed:
        return None
    hint = f": {RETRY}" if any(map(is_transient, failed)) else ""
    found = f" ({remembered} of them from the store{hint})" if remembered else ""
    return f"{len(failed)} of {len(rows)} failed{found}: {_reasons(failed)}"


def _reasons(failed: Sequence[Measurement]) -> str:
    by_reason = Counter(row.reason for row in failed)
    told = []
    for reason, count in by_reason.most_common(TOLD_KINDS):
        text = failure_text(next(row for row in failed if row.reason == reason))
        told.append(f"{count} x {text}" if len(by_reason) > 1 else f"{text}")
    if len(by_reason) > TOLD_KINDS:
        told.append(f"{len(by_reason) - TOLD_KINDS} other reasons")
    return "; ".join(told)
