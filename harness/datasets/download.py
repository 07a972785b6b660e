"""Download of one file over HTTP: continued where it stopped, checked, and given up in time."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import ModnasHwError
from harness.core.home import file_sha256, read_kept
from harness.core.system_errors import told

ATTEMPTS = 4
# What is added to a file's name while it is not whole, and for the server's tag of it.
PARTIAL = (".part", ".part.etag")
# All files of a call together: some fifty at most.
TOTAL_S = 1800.0
STALL_S = 30.0
# Bytes that have to come in that time: a server that sends a byte now and then stalls too.
_LEAST = 1 << 12
_CHUNK = 1 << 16
# The largest file there is has 1 MB; a server that sends without end is stopped.
_LARGEST = 1 << 28


class DownloadError(ModnasHwError):
    """A file that cannot be had, or is not the one that was expected."""

    code = "download"


class _InterruptedError(Exception):
    """The connection failed or ended early; trying again may help."""


class Patience:
    """How long downloads may take; the time begins when this is made.

    Args:
        total_s: seconds for all of them.
        stall_s: seconds without an answer, or in which next to nothing comes.
    """

    def __init__(self, total_s: float = TOTAL_S, stall_s: float = STALL_S) -> None:
        self.total_s, self.stall_s = total_s, stall_s
        self._end = time.monotonic() + total_s

    @property
    def left_s(self) -> float:
        """Seconds until the end, 0 after it."""
        return max(0.0, self._end - time.monotonic())


class _Attempt:
    """One connection, which writes only as long as somebody waits for it."""

    def __init__(self) -> None:
        self.received = 0
        self._abandoned = False
        self._lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around what changes files. Raises _InterruptedError when nobody waits any more."""
        with self._lock:
            if self._abandoned:
                raise _InterruptedError("it was given up")
            yield

    def abandon(self) -> None:
        """From when this returns nothing is written."""
        with self._lock:
            self._abandoned = True


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    wait_s: float = 0.5,
    patience: Patience | None = None,
) -> str:
    """Fetch `url` into `target`, which appears only when it is whole; the hash of what came.

    What an interrupted call got lies beside it as `.part` and is continued by the next one.

    Args:
        sha256: what the file must have; None accepts what comes.
        wait_s: pause after the first failed attempt, doubled after each.
        patience: when it is given up; None: as `Patience` has it.

    Raises:
        DownloadError: there is no such file, it has another hash, the connection keeps failing or stalling,
            or the time is over.
    """
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    patience = patience or Patience()
    for attempt in range(ATTEMPTS):
        try:
            _attempt(url, part, patience)
            break
        except _InterruptedError as error:
            if attempt == ATTEMPTS - 1:
                raise DownloadError(f"{url}: {error}; the same command continues the download") from error
            time.sleep(min(wait_s * 2**attempt, patience.left_s))
    found = file_sha256(part)
    _tag(part).unlink(missing_ok=True)
    if sha256 is not None and found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url} is not the file it should be: its sha256 is {found}, expected {sha256}; nothing was kept"
        )
    part.replace(target)
    return found


def _tag(part: Path) -> Path:
    """Where the server's tag of the version that a `.part` belongs to is kept."""
    return part.with_name(f"{part.name}.etag")


def _attempt(url: str, part: Path, patience: Patience) -> None:
    """Bring `part` to its full length, in time. Raises _InterruptedError and DownloadError.

    Looked at from outside: a name that is not resolved and headers that come byte by byte know no limit.
    """
    attempt, done = _Attempt(), Future[None]()

    def work() -> None:
        try:
            _continue(url, part, attempt, patience.stall_s)
        except BaseException as error:  # raised again where it is waited for
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=work, daemon=True).start()
    before = 0
    try:
        while True:
            try:
                return done.result(min(patience.stall_s, patience.left_s))
            except NotDone:
                received = attempt.received
            if not patience.left_s:
                raise DownloadError(
                    f"{url}: not all came in {patience.total_s:g} s; the same command continues the download"
                )
            if received - before < _LEAST:
                raise _InterruptedError(
                    f"the server stalls: {received - before} bytes in {patience.stall_s:g} s"
                )
            before = received
    finally:
        attempt.abandon()


def _continue(url: str, part: Path, attempt: _Attempt, stall_s: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "modnas-hw", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if _tag(part).exists():  # another version meanwhile: the whole of it, not its end
            request.add_header("If-Range", read_kept(_tag(part)))
    try:
        with urllib.request.urlopen(request, timeout=stall_s) as response:
            _receive(response, part, have, attempt)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left, or the part is longer than the file
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            with attempt.writing():
                part.unlink()
            raise _InterruptedError("the server refused to continue the download") from error
        if error.code >= 500 or error.code == 429:
            raise _InterruptedError(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{url} cannot be had: the server answered {error.code} {error.reason}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        said = told(reason) if isinstance(reason, OSError) else str(reason) or type(error).__name__
        raise _InterruptedError(f"the connection failed: {said}") from error


def _receive(response: http.client.HTTPResponse, part: Path, have: int, attempt: _Attempt) -> None:
    continued = response.status == 206
    if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        with attempt.writing():
            part.unlink()
        raise _InterruptedError("the server continued at another place")
    size = have if continued else 0
    length = response.headers.get("Content-Length")
    expected = size + int(length) if length and length.isdigit() else None
    tag = response.headers.get("ETag")
    with attempt.writing():
        if tag and not tag.startswith("W/"):
            _tag(part).write_text(tag, encoding="utf-8")
        else:
            _tag(part).unlink(missing_ok=True)
        file = part.open("ab" if continued else "wb")
    with file:
        while chunk := response.read1(_CHUNK):
            with attempt.writing():
                file.write(chunk)
                file.flush()
            size += len(chunk)
            attempt.received += len(chunk)
            if size > _LARGEST:
                raise DownloadError(f"{response.url} is larger than {_LARGEST >> 20} MiB; it is no table")
    if expected is not None and size != expected:
        raise _InterruptedError(f"the connection ended after {size} of {expected} bytes")
