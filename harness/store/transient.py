"""Which stored failures may be gone the next time."""

from __future__ import annotations

from harness.store.models import Measurement

# Reasons that would not go away: the device ran the network and its output was wrong. Everything else may
# have been that time's trouble; rows of old versions do not tell.
PERMANENT = ("mismatch", "nan")


def is_transient(row: Measurement) -> bool:
    """Whether a row is a failure that may not occur again."""
    return row.status != "ok" and row.reason not in PERMANENT
