"""Finished results by request id, on disk: a host that lost its link asks again and gets them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from pathlib import Path

from modnas_agent.files import open_own
from modnas_agent.folder import ENTRY
from modnas_agent.wire.protocol import Frame, ProtocolError, decode, encode

KEPT_RESULTS = 1000
#: Pruning lists the folder; doing so only now and then keeps it out of the way of measuring.
PRUNE_EVERY = 50
#: What is half-written for longer than this was left by an agent that was killed.
HALF_WRITTEN_S = 3600.0


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
        """Store a result frame under its id; raises OSError, also for a folder that is a link."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._folder.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._folder))
        path = self._path(frame["id"])
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open_own(temporary) as file:
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
        """Remove the oldest entries past the limit, and what killed agents left half-written.

        Whatever is not named as the journal names its files, or is none, is somebody else's.
        """
        written: list[tuple[float, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                info = path.lstat()
                if not (stat.S_ISREG(info.st_mode) and ENTRY.fullmatch(path.name)):
                    continue
                if path.suffix == ".json":
                    written.append((info.st_mtime, path))
                elif time.time() - info.st_mtime > HALF_WRITTEN_S:
                    path.unlink()
        for _, path in sorted(written, reverse=True)[self._kept :]:
            with contextlib.suppress(OSError):
                path.unlink()
