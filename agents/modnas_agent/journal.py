"""Finished results by request id, on disk: a host that lost its link asks again and gets them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from modnas_agent.protocol import Frame, ProtocolError, decode, encode

KEPT_RESULTS = 1000
#: Pruning lists the folder; doing so only now and then keeps it out of the way of measuring.
PRUNE_EVERY = 50


class Journal:
    """Results under `folder`, one file each, written whole or not at all."""

    def __init__(self, folder: Path, kept: int = KEPT_RESULTS) -> None:
        self._folder = folder
        self._kept = kept
        self._until_prune = 0

    def get(self, request_id: str) -> Frame | None:
        """The result frame of a request, or None; an entry that is not one is as good as absent."""
        try:
            frame = decode(self._path(request_id).read_bytes())
        except (OSError, ProtocolError):
            return None
        # The file name is a hash of the id; the id inside is what counts.
        return frame if frame.get("id") == request_id and frame.get("event") == "result" else None

    def put(self, frame: Frame) -> None:
        """Store a result frame under its id; raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(frame["id"])
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(encode(frame))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self._until_prune -= 1
        if self._until_prune < 0:
            self._until_prune = PRUNE_EVERY
            self._prune()

    def _path(self, request_id: str) -> Path:
        digest = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / f"{digest[:40]}.json"

    def _prune(self) -> None:
        """Remove the oldest entries past the limit, and what killed agents left half-written."""
        entries: list[tuple[float, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.suffix == ".tmp" and not path.name.endswith(f".{os.getpid()}.tmp"):
                    path.unlink()
                elif path.suffix == ".json":
                    entries.append((path.stat().st_mtime, path))
        for _, path in sorted(entries, reverse=True)[self._kept :]:
            with contextlib.suppress(OSError):
                path.unlink()
