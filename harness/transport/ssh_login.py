"""Logging in to a server: which keys are offered, in OpenSSH's order."""

from __future__ import annotations

import base64
import binascii
import os
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from paramiko.agent import AgentKey, AgentSSH

from harness.transport.ssh_address import Address
from harness.transport.ssh_errors import KeyReadableError
from harness.transport.ssh_known_hosts import key_blob
from modnas.core.bounded import TooLargeError, check_file

# The usual names of keys, of the kinds that paramiko knows.
USUAL_NAMES = ("id_rsa", "id_ecdsa", "id_ed25519")
AGENT_S = 5.0
_LARGEST = 1 << 20  # bytes of a file with a key
_KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"

GetKey = Callable[[], paramiko.PKey]


def log_in(transport: paramiko.Transport, address: Address) -> None:
    """Authenticate on a connection whose host key was accepted.

    Raises:
        KeyReadableError: nothing was taken, and a private key was left out because others may read it.
        paramiko.PasswordRequiredException: nothing was taken, and a private key has a passphrase.
        paramiko.AuthenticationException: nothing was taken.
        paramiko.SSHException: the connection ended.
    """
    with suppress(paramiko.BadAuthenticationType):
        if not transport.auth_none(address.user):
            return
    unusable: Exception | None = None
    with closing(_Agent(address.options.agent)) as agent:
        for get_key in _offered(address, agent.get_keys()):
            try:
                key = get_key()
            except (KeyReadableError, paramiko.PasswordRequiredException) as error:
                unusable = unusable or error
                continue
            except (paramiko.SSHException, OSError, ValueError):
                continue  # no key at all; there may be others
            try:
                if not transport.auth_publickey(address.user, key):
                    return
            except paramiko.SSHException:
                if not transport.is_active():
                    raise
    raise unusable or paramiko.AuthenticationException("no key was taken")


def _offered(address: Address, agent_keys: Iterable[AgentKey]) -> Iterator[GetKey]:
    """Certificates, then keys of the SSH agent, those that are named first, then what only files have."""
    if not address.options.public_keys:
        return
    named = {path: public_part(path) for path in _identity_files(address)}
    held: dict[bytes | None, AgentKey] = {key.asbytes(): key for key in agent_keys}
    sources: dict[bytes | None, GetKey] = {blob: partial(_load, path) for path, blob in named.items()}
    sources |= {blob: partial(AgentKey, key.agent, key.blob) for blob, key in held.items()}
    usual = [path.with_name(f"{path.name}-cert.pub") for path in named]
    for certificate in (*address.options.certificates, *usual):
        blob = certified(certificate)
        if blob is not None and blob in sources:
            yield partial(_load_certified, sources[blob], certificate)
    yield from (sources[blob] for blob in named.values() if blob in held)
    if not address.identities_only:
        yield from (sources[blob] for blob in held if blob not in named.values())
    yield from (partial(_load, path) for path, blob in named.items() if blob not in held)


def _identity_files(address: Address) -> list[Path]:
    usual = [Path.home() / ".ssh" / name for name in USUAL_NAMES if address.options.default_identities]
    return [path for path in address.identity_files or usual if path.is_file()]


def _load(path: Path) -> paramiko.PKey:
    """A private key. Raises KeyReadableError, OSError, ValueError, and what paramiko raises."""
    found = path.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyReadableError(path)
    for kind in _KINDS:
        try:
            return kind.from_private_key_file(str(path))
        except paramiko.PasswordRequiredException:
            raise
        except paramiko.SSHException:
            continue
    raise paramiko.SSHException(f"{path} is no private key")


def _load_certified(get_key: GetKey, certificate: Path) -> paramiko.PKey:
    key = get_key()
    key.load_certificate(str(certificate))
    return key


def public_part(path: Path) -> bytes | None:
    """The public key, as it travels, that a file has: a private key's, or the one beside it; None without."""
    for file in (path, path.with_name(f"{path.name}.pub")):
        content = _content(file)
        if (blob := _public_in(content) or _public_of_private(content)) is not None:
            return blob
    try:
        return _load(path).asbytes()
    except (KeyReadableError, paramiko.SSHException, OSError, ValueError):
        return None


def _content(file: Path) -> bytes:
    """What a file has that may be a key; nothing where there is none."""
    try:
        check_file(file, _LARGEST)
        return file.read_bytes()
    except (OSError, TooLargeError):
        return b""


def _public_in(content: bytes) -> bytes | None:
    words = content.decode("latin-1").split(maxsplit=2)
    return key_blob(words[0], words[1]) if len(words) > 1 else None


def _public_of_private(content: bytes) -> bytes | None:
    """OpenSSH's own form has the public key in front, also where the private one is locked."""
    lines = content.strip().splitlines()
    if not lines or lines[0] != _PRIVATE:
        return None
    try:
        decoded = base64.b64decode(b"".join(lines[1:-1]))
    except binascii.Error:
        return None
    message = paramiko.Message(decoded.removeprefix(_MAGIC))
    for _cipher_derivation_and_its_options in range(3):
        message.get_binary()
    return message.get_binary() if message.get_int() == 1 else None


def certified(certificate: Path) -> bytes | None:
    """The public key, as it travels, that a certificate is for; None where there is no certificate."""
    try:
        found = serialization.load_ssh_public_identity(_content(certificate))
        if not isinstance(found, serialization.SSHCertificate):
            return None
        openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        return _public_in(found.public_key().public_bytes(*openssh))
    except (ValueError, UnsupportedAlgorithm):
        return None


class _Agent(AgentSSH):
    """The SSH agent at a socket, if it answers; by default the one that the environment names."""

    def __init__(self, path: str | None) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(AGENT_S)
        with suppress(OSError, paramiko.SSHException):
            self._socket.connect(os.environ.get("SSH_AUTH_SOCK", "") if path is None else path)
            self._connect(self._socket)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._socket.close()
