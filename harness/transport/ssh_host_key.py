"""Whether a server is the one that its name says: its host key beside what is known, as OpenSSH judges it."""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from paramiko.pkey import PublicBlob

from harness.core.errors import UsageError
from harness.transport.ssh_address import Address
from harness.transport.ssh_errors import changed_key, revoked_key, unknown_key
from harness.transport.ssh_known_hosts import (
    CERT_AUTHORITY,
    REVOKED,
    KnownKey,
    add_known_key,
    hashed_name,
    key_blob,
    known_keys,
    known_name,
    listed_keys,
    matches,
)

_CERTIFICATE = "-cert-v01@openssh.com"
# RSA keys are known by one name and sign by others.
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class HostKeyCheck:
    """What is known of a server before it says anything."""

    def __init__(self, address: Address, peer: str | None) -> None:
        """Read the files of host keys.

        Args:
            peer: the server's IP address, where the connection goes straight to it.

        Raises:
            UsageError: the file of revoked keys cannot be used.
        """
        self._address, self._peer = address, peer
        self._known = known_keys(address.known_hosts, address.known_name)
        self._revoked = _revoked(address.options.revoked)
        # A name without a port counts for all of them.
        plain = None if address.options.key_alias or address.port == 22 else address.host.lower()
        self._without_port = known_keys(address.known_hosts, plain) if plain else []

    def algorithms(self, possible: Sequence[str]) -> list[str]:
        """Host key algorithms in the order to ask for: those by which the server may be known come first."""
        known = [*self._known, *self._without_port]
        kinds = {entry.kind for entry in known if not entry.marker}
        trusted = any(entry.marker == CERT_AUTHORITY for entry in known)
        plain = [name for name in possible if not name.endswith(_CERTIFICATE)]
        first = [name for name in plain if ("ssh-rsa" if name in _RSA else name) in kinds]
        certificates = [name for name in possible if name.endswith(_CERTIFICATE)] if trusted else []
        return [*certificates, *first, *(name for name in plain if name not in first)]

    def accept(self, key: paramiko.PKey) -> None:
        """Go on with a server that has proved to have this key.

        Raises:
            HostKeyUnknownError, HostKeyChangedError, HostKeyRevokedError: it is for a person to decide.
        """
        address, options = self._address, self._address.options
        certificate = _Certificate(key.public_blob) if key.public_blob else None
        keys = {key.asbytes(), *((certificate.authority,) if certificate else ())}
        if keys & self._revoked:
            raise revoked_key(address, key, f"in {options.revoked}")
        if not options.check_localhost and not options.key_alias and _is_loopback(self._peer):
            return
        for entry in self._known:
            if entry.marker == REVOKED and entry.blob in keys:
                if options.strict == "no":
                    return
                raise revoked_key(address, key, f"in {entry.file}, line {entry.line}")
        if any(self._is_known(keys, certificate, known) for known in (self._known, self._without_port)):
            self._check_address(key)
            return
        if others := [entry for entry in self._known if not entry.marker]:
            if options.strict != "no":
                raise changed_key(address, key, others[-1])
        elif options.strict in ("yes", "ask"):
            raise unknown_key(address, key)
        else:
            self._note(key)

    def _is_known(
        self, keys: set[bytes], certificate: _Certificate | None, known: Iterable[KnownKey]
    ) -> bool:
        """Whether the key is in the entries, or one who signed for it; a revoked one is not."""
        marked = {(entry.marker, entry.blob) for entry in known}
        if any((REVOKED, blob) in marked for blob in keys):
            return False
        if certificate and (CERT_AUTHORITY, certificate.authority) in marked:
            name = self._address.options.key_alias or self._address.host.lower()
            if certificate.is_valid(name):
                return True
        return any(("", blob) in marked for blob in keys - {certificate.authority if certificate else b""})

    def _check_address(self, key: paramiko.PKey) -> None:
        """The IP address may be known with another key, where that counts (CheckHostIP)."""
        options = self._address.options
        if not options.check_address or options.strict == "no" or options.key_alias:
            return
        if self._peer in (None, self._address.host) or _is_loopback(self._peer):
            return
        entries = known_keys(self._address.known_hosts, known_name(self._peer, self._address.port))
        known = [entry for entry in entries if not entry.marker]
        if known and key.asbytes() not in {entry.blob for entry in known}:
            raise changed_key(self._address, key, known[-1])

    def _note(self, key: paramiko.PKey) -> None:
        """Remember a key that was accepted unseen; where that cannot be, it will be unseen again."""
        address = self._address
        name = hashed_name(address.known_name) if address.options.hash_names else address.known_name
        if address.new_keys is not None:
            with suppress(OSError):
                add_known_key(address.new_keys, name, key.get_name(), key.asbytes())


class _Certificate:
    """What somebody signed for a host's key. `authority`: their key as it travels, empty for none."""

    def __init__(self, blob: PublicBlob) -> None:
        text = f"{blob.key_type} {base64.b64encode(blob.key_blob).decode()}"
        self._content, self.authority = None, b""
        with suppress(ValueError, UnsupportedAlgorithm):
            found = serialization.load_ssh_public_identity(text.encode())
            if isinstance(found, serialization.SSHCertificate):
                openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
                words = found.signature_key().public_bytes(*openssh).decode().split()
                self._content, self.authority = found, key_blob(*words[:2]) or b""

    def is_valid(self, name: str) -> bool:
        """Whether it is signed as it says, for a host of this name, now, and without conditions."""
        content = self._content
        if content is None or content.critical_options:
            return False
        if content.type != serialization.SSHCertificateType.HOST:
            return False
        try:
            content.verify_cert_signature()
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            return False
        names = [principal.decode("utf-8", "replace") for principal in content.valid_principals]
        in_time = content.valid_after <= time.time() < content.valid_before
        return in_time and (not names or any(matches(name, [pattern]) for pattern in names))


def _revoked(file: Path | None) -> set[bytes]:
    if file is None:
        return set()
    try:
        with file.open("rb") as opened:
            if opened.read(6) == b"SSHKRL":
                raise UsageError(f"RevokedHostKeys {file} is a KRL; name a file with one key a line instead")
        return listed_keys(file)
    except OSError as error:
        raise UsageError(f"RevokedHostKeys {file} cannot be read: {error.strerror}") from error


def _is_loopback(peer: str | None) -> bool:
    return peer is not None and ipaddress.ip_address(peer.partition("%")[0]).is_loopback
