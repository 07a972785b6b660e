"""Getting into an SSH server: sockets that notice a dead link, and host keys."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko

from harness.core.errors import DeviceUnavailableError, UsageError
from harness.transport.base import TransportTimeoutError
from harness.transport.ssh_address import Address
from harness.transport.ssh_errors import explain, unknown_key

# Unacknowledged data for this long means that the link is dead; the kernel then closes the socket.
LINK_TIMEOUT_S = 8.0
# With nothing to send, this is what keeps unacknowledged data on the way.
KEEPALIVE_S = 2
# Waiting for a board to accept a connection before it is asked anew.
DIAL_S = 3.0

# Without a handler of its own, what paramiko logs would appear on the user's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@contextmanager
def time_limit(seconds: float, what: str, stop: Callable[[], None]) -> Iterator[None]:
    """A hard limit on a block that may wait for ever: past it `stop` is called, from another thread.

    paramiko's own timeouts miss a board that is frozen, and most of what SFTP waits for.

    Raises:
        TransportTimeoutError: the limit was passed, whatever the block made of it.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        stop()

    timer = threading.Timer(max(0.0, seconds), expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if expired.is_set():
            raise TransportTimeoutError(f"{what} took more than {seconds:.0f} s") from error
        raise
    finally:
        timer.cancel()
    if expired.is_set():
        raise TransportTimeoutError(f"{what} took more than {seconds:.0f} s")


def connect(address: Address, timeout_s: float) -> list[paramiko.SSHClient]:
    """Clients of every server on the way, the board's last; to be closed from the last to the first.

    Raises:
        DeviceUnavailableError: with what is wrong and what to do.
    """
    clients: list[paramiko.SSHClient] = []
    hop, wire = address, _Wire()
    try:
        with time_limit(timeout_s, f"connecting to {address}", wire.close):
            for hop in (*address.jumps, address):
                link = _channel(clients[-1], hop, timeout_s) if clients else _socket(hop, timeout_s)
                wire.sockets.append(link)
                clients.append(_log_in(hop, link, timeout_s))
    except BaseException as error:
        close(clients)
        wire.close()
        if isinstance(error, TransportTimeoutError):
            raise explain(hop, TimeoutError()) from error
        if isinstance(error, (DeviceUnavailableError, UsageError)) or not isinstance(error, Exception):
            raise
        raise explain(hop, error) from error
    return clients


def close(clients: list[paramiko.SSHClient]) -> None:
    """Close clients from the last to the first."""
    for client in reversed(clients):
        with suppress(Exception):
            client.close()


class _Wire:
    """The sockets opened so far, so that another thread can end whoever waits on them."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket | paramiko.Channel] = []

    def close(self) -> None:
        for link in self.sockets:
            with suppress(Exception):
                link.close()


def _socket(address: Address, timeout_s: float) -> socket.socket:
    if address.command is not None:
        return _CommandSocket(address.command)
    link = _dial(address, timeout_s)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(LINK_TIMEOUT_S * 1000))
    return link


def _dial(address: Address, timeout_s: float) -> socket.socket:
    """Connect, asking anew every few seconds.

    The kernel's own repetitions come at ever longer intervals: where a link comes back after seconds, it
    would not notice for as long again.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        remaining = deadline - time.monotonic()
        try:
            return socket.create_connection((address.host, address.port), min(DIAL_S, max(0.01, remaining)))
        except TimeoutError:
            if remaining <= DIAL_S:
                raise


class _CommandSocket(socket.socket):
    """A socket whose other end is the input and output of a shell command, which ends with it."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us, who then close the socket
            )
        threading.Thread(target=self._process.wait, daemon=True).start()  # nobody else takes leave of it

    def close(self) -> None:
        super().close()
        self._process.terminate()


def _channel(client: paramiko.SSHClient, address: Address, timeout_s: float) -> paramiko.Channel:
    transport = client.get_transport()
    if transport is None:
        raise paramiko.SSHException("the connection to the jump host is gone")
    target = (address.host, address.port)
    return transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout_s)


def _log_in(address: Address, link: socket.socket | paramiko.Channel, timeout_s: float) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_RefuseUnknown(address))
    for path in address.known_hosts:
        if path.is_file():
            client.load_system_host_keys(str(path))
    # Several are allowed, whatever the stubs say.
    keys: Any = [str(path) for path in address.identity_files if path.is_file()]
    try:
        client.connect(
            address.host,
            address.port,
            username=address.user,
            key_filename=keys or None,
            allow_agent=not address.identities_only,
            look_for_keys=not address.identity_files,
            sock=link,
            timeout=timeout_s,
            banner_timeout=timeout_s,
            auth_timeout=timeout_s,
            channel_timeout=timeout_s,
        )
    except BaseException:
        client.close()
        raise
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(KEEPALIVE_S)
    return client


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """Nobody is trusted on first use: the person is told what was seen and how to accept exactly that."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise unknown_key(self._address, key)
