"""The board for one request: it is answered from the journal, or the lock is taken, or somebody has it."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from modnas_agent.board.journal import Journal
from modnas_agent.board.lock import BoardLock
from modnas_agent.wire.protocol import Frame


class Claim(NamedTuple):
    """What became of a claim: the request's result if there is one; whether the lock is ours; who has it."""

    known: Frame | None = None
    taken: bool = False
    holder: Mapping[str, Any] | None = None

    @property
    def refusal(self) -> str:
        """What is said to a host that waits no longer."""
        if self.holder is None:
            return "others have waited longer for the board"
        who = f"{self.holder.get('host') or 'another host'} since {self.holder.get('since', '?')}"
        what = f"process {self.holder.get('pid', '?')}, request {self.holder.get('id', '?')}"
        return f"the board is in use by {who} ({what})"


def claim(lock: BoardLock, journal: Journal, request_id: str, lease_s: float) -> Claim:
    """Try to get the board, in turn, and end a holder that hangs; raises OSError. Reads and writes files."""
    known = journal.get(request_id)
    if known is not None:
        return Claim(known)
    if lock.acquire(request_id, lease_s):
        # Another agent may have held the lock to finish this very request.
        return Claim(journal.get(request_id), taken=True)
    lock.evict()
    return Claim(holder=lock.holder())
