"""Why a board cannot be logged in to: a type for every reason, whose message says what to do about it."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable
from typing import Any

import paramiko

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_text
from harness.transport.ssh_address import Address


class NoConnectionError(DeviceUnavailableError):
    """No connection to a board, for a reason that has no type of its own below."""

    code = "no-connection"


class HostKeyUnknownError(NoConnectionError):
    """The server has a host key that nobody has accepted yet."""

    code = "host-key-unknown"


class HostKeyChangedError(NoConnectionError):
    """The server has another host key than the one that was accepted."""

    code = "host-key-changed"


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
    line = shlex.quote(f"{address.known_name} {key.get_name()} {key.get_base64()}")
    file = shlex.quote(str(address.known_hosts[0]))
    return HostKeyUnknownError(
        f"the host key of {address} is not known: {key.get_name()} {key.fingerprint}; "
        f"if that is the board's own, accept it with: echo {line} >> {file}"
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


def _changed_key(address: Address, error: Any) -> HostKeyChangedError:
    file = shlex.quote(str(address.known_hosts[0]))
    return HostKeyChangedError(
        f"the host key of {address} has changed: {error.key.get_name()} {error.key.fingerprint}, known "
        f"is {error.expected_key.fingerprint}; if the board was installed anew, forget the old key with: "
        f"ssh-keygen -R {shlex.quote(address.known_name)} -f {file}"
    )


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
    paramiko.BadHostKeyException: _changed_key,
    paramiko.PasswordRequiredException: _locked_key,
    paramiko.AuthenticationException: _refused,
    socket.gaierror: _unresolved,
    ConnectionRefusedError: _closed_port,
    TimeoutError: _silent,
}
