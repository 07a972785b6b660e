"""Why a board cannot be logged in to: a type for every reason, whose message says what to do about it."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import paramiko

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_text
from harness.transport.ssh_address import Address
from harness.transport.ssh_known_hosts import KnownKey, is_named


class NoConnectionError(DeviceUnavailableError):
    """No connection to a board, for a reason that has no type of its own below."""

    code = "no-connection"


class HostKeyUnknownError(NoConnectionError):
    """The server has a host key that nobody has accepted yet."""

    code = "host-key-unknown"


class HostKeyChangedError(NoConnectionError):
    """The server has another host key than the one that was accepted."""

    code = "host-key-changed"


class HostKeyRevokedError(NoConnectionError):
    """The server has a host key that is marked as one that nobody may have any more."""

    code = "host-key-revoked"


class KeyReadableError(NoConnectionError):
    """The private key for a board may be read by others."""

    code = "ssh-key-readable"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the private key {path} may be read by others, so that it is not used; close it with: "
            f"chmod 600 {shlex.quote(str(path))}"
        )


class KeyLockedError(NoConnectionError):
    """The key for a board has a passphrase."""

    code = "ssh-key-locked"


class LoginRefusedError(NoConnectionError):
    """The server takes none of the keys that there are, or there are none."""

    code = "login-refused"


class HostNameError(NoConnectionError):
    """The host's name cannot be resolved."""

    code = "host-name-unknown"


class PortClosedError(NoConnectionError):
    """The host is there, and nothing listens on the port."""

    code = "port-closed"


class HostSilentError(NoConnectionError):
    """Nothing comes from the host."""

    code = "host-silent"


class ProxyCommandError(NoConnectionError):
    """The command that should lead to a server does not."""

    code = "proxy-command"


class NoSshServerError(NoConnectionError):
    """Something listens on the port, and it is no SSH server."""

    code = "no-ssh-server"


def unknown_key(address: Address, key: paramiko.PKey) -> HostKeyUnknownError:
    """What was seen of a server that is not known, and how to accept exactly that."""
    seen = f"the host key of {address} is not known: {key.get_name()} {key.fingerprint}"
    if not address.known_hosts:
        return HostKeyUnknownError(
            f"{seen}; name a file for it with UserKnownHostsFile in ~/.ssh/config, where it is none now"
        )
    line = shlex.quote(f"{address.known_name} {key.get_name()} {key.get_base64()}")
    file = address.known_hosts[0]
    folder = "" if file.parent.is_dir() else f"mkdir -p {shlex.quote(str(file.parent))} && "
    return HostKeyUnknownError(
        f"{seen}; if that is the board's own, accept it with: {folder}echo {line} >> {shlex.quote(str(file))}"
    )


def changed_key(address: Address, key: paramiko.PKey, known: KnownKey) -> HostKeyChangedError:
    """What was seen of a server that is known with another key, and how to forget that one."""
    file, name = shlex.quote(str(known.file)), address.known_name
    if not is_named(name, known.names):
        name = known.names.split(",")[0]
    listed = known.names.startswith("|") or name in known.names.split(",")
    how = f"with: ssh-keygen -R {shlex.quote(name)} -f {file}" if listed else f"in {file}, line {known.line}"
    return HostKeyChangedError(
        f"the host key of {address} has changed: {key.get_name()} {key.fingerprint}, known is "
        f"{known.fingerprint}; if the board was installed anew, forget the old key {how}"
    )


def revoked_key(address: Address, key: paramiko.PKey, where: str) -> HostKeyRevokedError:
    """What was seen of a server whose key is marked as revoked."""
    return HostKeyRevokedError(
        f"the host key of {address} is revoked {where}: {key.get_name()} {key.fingerprint}; "
        "the board needs a new one"
    )


def explain(address: Address, error: Exception) -> NoConnectionError:
    """What went wrong while connecting, as one of the types above."""
    for kind, say in _REASONS.items():
        if isinstance(error, kind):
            return say(address, error)
    # paramiko tells of these two in words alone: they are looked for here, where its errors enter.
    if "No authentication methods" in str(error):
        return _refused(address, error)
    if address.command is not None:
        return ProxyCommandError(
            f"the ProxyCommand to {address} leads to no SSH server; try it by hand: {address.command}"
        )
    if "protocol banner" in str(error):
        return NoSshServerError(
            f"port {address.port} of {address.host} is open, but no SSH server answers there"
        )
    said = clean_text(str(error)) or "the other side closed it"
    return NoConnectionError(f"no connection to {address}: {said}; see: ssh {shlex.quote(address.host)}")


def _locked_key(address: Address, _: Exception) -> KeyLockedError:
    keys = " ".join(shlex.quote(str(path)) for path in address.identity_files)
    return KeyLockedError(
        f"the key for {address} has a passphrase; unlock it in an SSH agent with: ssh-add {keys}".rstrip()
    )


def _refused(address: Address, _: Exception) -> LoginRefusedError:
    keys = ", ".join(str(path) for path in address.identity_files) or "the SSH agent and ~/.ssh"
    port = "" if address.port == 22 else f"-p {address.port} "
    target = shlex.quote(f"{address.user}@{address.host}")
    return LoginRefusedError(
        f"{address} refuses the key(s) from {keys}; check the user's name, or bring a key there with: "
        f"ssh-copy-id {port}{target}"
    )


def _unresolved(address: Address, _: Exception) -> HostNameError:
    return HostNameError(
        f"the host name {address.host!r} cannot be resolved; name the board in ~/.ssh/config, or its "
        "address with: modnas-hw devices add NAME --ssh user@host"
    )


def _closed_port(address: Address, _: Exception) -> PortClosedError:
    return PortClosedError(
        f"nothing listens on port {address.port} of {address.host}; start sshd there or correct the port"
    )


def _silent(address: Address, _: Exception) -> HostSilentError:
    return HostSilentError(
        f"{address.host} does not answer; see whether the board is switched on and connected"
    )


# The first that fits counts: paramiko's are one below the other.
_REASONS: dict[type[Exception], Callable[[Address, Exception], NoConnectionError]] = {
    paramiko.PasswordRequiredException: _locked_key,
    paramiko.AuthenticationException: _refused,
    socket.gaierror: _unresolved,
    ConnectionRefusedError: _closed_port,
    TimeoutError: _silent,
}
