"""Download of one file over HTTP: continued where it stopped, and checked."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.core.errors import ModnasHwError
from harness.core.home import file_sha256

ATTEMPTS = 4
# What is added to a file's name while it is not whole, and for the server's tag of it.
PARTIAL = (".part", ".part.etag")
_TIMEOUT_S = 30.0
_CHUNK = 1 << 16
# The largest file there is has 1 MB; a server that sends without end is stopped.
_LARGEST = 1 << 28


class DownloadError(ModnasHwError):
    """A file that cannot be had, or is not the one that was expected."""

    code = "download"


class _InterruptedError(Exception):
    """The connection failed or ended early; trying again may help."""


def download(url: str, target: Path, sha256: str | None = None, wait_s: float = 0.5) -> str:
    """Fetch `url` into `target`, which appears only when it is whole; the hash of what came.

    What an interrupted call got lies beside it as `.part` and is continued by the next one.

    Args:
        sha256: what the file must have; None accepts what comes.
        wait_s: pause after the first failed attempt, doubled after each.

    Raises:
        DownloadError: there is no such file, it has another hash, or the connection keeps failing.
    """
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            _continue(url, part)
            break
        except _InterruptedError as error:
            if attempt == ATTEMPTS - 1:
                raise DownloadError(f"{url}: {error}; the same command continues the download") from error
            time.sleep(wait_s * 2**attempt)
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


def _continue(url: str, part: Path) -> None:
    """Bring `part` to its full length. Raises _InterruptedError and DownloadError."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "modnas-hw", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if _tag(part).exists():  # another version meanwhile: the whole of it, not its end
            request.add_header("If-Range", _tag(part).read_text())
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            _receive(response, part, have)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left, or the part is longer than the file
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            part.unlink()
            raise _InterruptedError("the server refused to continue the download") from error
        if error.code >= 500 or error.code == 429:
            raise _InterruptedError(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{url} cannot be had: the server answered {error.code} {error.reason}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _InterruptedError(f"the connection failed: {reason or type(error).__name__}") from error


def _receive(response: http.client.HTTPResponse, part: Path, have: int) -> None:
    continued = response.status == 206
    if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink()
        raise _InterruptedError("the server continued at another place")
    size = have if continued else 0
    length = response.headers.get("Content-Length")
    expected = size + int(length) if length and length.isdigit() else None
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        _tag(part).write_text(tag)
    else:
        _tag(part).unlink(missing_ok=True)
    with part.open("ab" if continued else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            size += len(chunk)
            if size > _LARGEST:
                raise DownloadError(f"{response.url} is larger than {_LARGEST >> 20} MiB; it is no table")
    if expected is not None and size != expected:
        raise _InterruptedError(f"the connection ended after {size} of {expected} bytes")
