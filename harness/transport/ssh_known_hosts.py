"""Files of host keys, read as OpenSSH reads them: what is no entry there says nothing, about any host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CERT_AUTHORITY, REVOKED = "@cert-authority", "@revoked"
_MARKERS = ("", CERT_AUTHORITY, REVOKED)
_BLANKS = " \t"
_HASHED = "|1|"


@dataclass(frozen=True)
class KnownKey:
    """One entry that names a host. `marker`: empty, or what the entry says of the key beside knowing it.

    `names`: patterns, separated by commas, or one hash. `blob`: the key as it travels.
    """

    marker: str
    names: str
    kind: str
    blob: bytes
    file: Path
    line: int

    @property
    def fingerprint(self) -> str:
        """As OpenSSH shows it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """As OpenSSH shows it: `SHA256:` and the hash."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def known_name(host: str, port: int) -> str:
    """The name under which files have a host's keys."""
    return host if port == 22 else f"[{host}]:{port}"


def known_keys(files: Iterable[Path], name: str) -> list[KnownKey]:
    """The entries of a host in the order of the files; a file that cannot be read has none."""
    return [
        entry
        for file in files
        for number, line in enumerate(_lines(file), 1)
        if (entry := _entry(line, file, number)) is not None and is_named(name, entry.names)
    ]


def listed_keys(file: Path) -> set[bytes]:
    """Keys of a file that has one a line, without names. Raises OSError."""
    fields = (line.split(maxsplit=2) for line in file.read_text("latin-1").splitlines())
    return {blob for words in fields if len(words) > 1 and (blob := key_blob(*words[:2])) is not None}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("latin-1").split("\n") if file.is_file() else []
    except OSError:
        return []


def _entry(line: str, file: Path, number: int) -> KnownKey | None:
    text, marker = line.lstrip(_BLANKS), ""
    if text.startswith("@"):
        marker, text = _first_word(text)
    names, text = _first_word(text)
    kind, text = _first_word(text)
    blob = key_blob(kind, _first_word(text)[0])
    if blob is None or names.startswith("#") or marker not in _MARKERS:
        return None
    return KnownKey(marker, names, kind, blob, file, number)


def _first_word(text: str) -> tuple[str, str]:
    word = re.match(r"[^ \t]*", text)
    assert word is not None
    return word[0], text[word.end() :].lstrip(_BLANKS)


def key_blob(kind: str, text: str) -> bytes | None:
    """The key in a pair of words such as `ssh-ed25519 AAAA...`; None where they are no key of that kind."""
    try:
        blob = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    name = kind.encode("latin-1", "replace")
    return blob if name and blob[:4] == len(name).to_bytes(4, "big") and blob[4:].startswith(name) else None


def is_named(name: str, names: str) -> bool:
    """Whether a host's name fits the names of an entry."""
    if names.startswith("|"):
        return _is_hashed(name, names)
    return matches(name.lower(), names.lower().split(","))


def matches(text: str, patterns: Iterable[str]) -> bool:
    """Whether a text fits one of OpenSSH's patterns (`*`, `?`) and none of those that begin with `!`."""
    found = False
    for pattern in patterns:
        if re.fullmatch(_as_expression(pattern.removeprefix("!")), text, re.DOTALL):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _as_expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)


def _is_hashed(name: str, names: str) -> bool:
    salt, _, digest = names.removeprefix(_HASHED).partition("|")
    try:
        made = hmac.digest(base64.b64decode(salt, validate=True), name.encode(), "sha1")
        expected = base64.b64decode(digest, validate=True)
        return names.startswith(_HASHED) and hmac.compare_digest(made, expected)
    except (binascii.Error, ValueError):
        return False


def hashed_name(name: str) -> str:
    """A host's name as an entry has it that does not tell it."""
    salt = os.urandom(hashlib.sha1().digest_size)
    made = hmac.digest(salt, name.encode(), "sha1")
    return _HASHED + "|".join(base64.b64encode(part).decode() for part in (salt, made))


def add_known_key(file: Path, names: str, kind: str, blob: bytes) -> None:
    """Append an entry; the file and its folder are made for their owner alone. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "rb+") as opened:
        content = opened.read()
        whole = b"" if content.endswith(b"\n") or not content else b"\n"
        opened.write(whole + f"{names} {kind} {base64.b64encode(blob).decode()}\n".encode())
