"""Getting into an SSH server: sockets that notice a dead link, and host keys."""

from __future__ import annotations

import logging
import os
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
from harness.transport.ssh_algorithms import choose_algorithms
from harness.transport.ssh_errors import explain
from harness.transport.ssh_host_key import HostKeyCheck
from harness.transport.ssh_login import log_in

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


def connect(address: Address, timeout_s: float) -> list[paramiko.Transport]:
    """Connections to every server on the way, the board's last; to be closed from the last to the first.

    Raises:
        DeviceUnavailableError: with what is wrong and what to do.
    """
    servers: list[paramiko.Transport] = []
    hop, wire = address, _Wire()
    try:
        with time_limit(timeout_s, f"connecting to {address}", wire.close):
            for hop in (*address.jumps, address):
                link = _channel(servers[-1], hop, timeout_s) if servers else _socket(hop, timeout_s)
                wire.sockets.append(link)
                servers.append(_log_in(hop, link, timeout_s))
    except BaseException as error:
        close(servers)
        wire.close()
        if isinstance(error, TransportTimeoutError):
            raise explain(hop, TimeoutError()) from error
        if isinstance(error, (DeviceUnavailableError, UsageError)) or not isinstance(error, Exception):
            raise
        raise explain(hop, error) from error
    return servers


def close(servers: list[paramiko.Transport]) -> None:
    """Close connections from the last to the first."""
    for server in reversed(servers):
        with suppress(Exception):
            server.close()


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
    deadline = time.monotonic() + min(timeout_s, address.options.connect_s or timeout_s)
    while True:
        remaining = deadline - time.monotonic()
        try:
            return _connected(address, min(DIAL_S, max(0.01, remaining)))
        except TimeoutError:
            if remaining <= DIAL_S:
                raise


def _connected(address: Address, timeout_s: float) -> socket.socket:
    options, target = address.options, (address.host, address.port)
    targets = [target]
    if options.family != socket.AF_UNSPEC:
        found = socket.getaddrinfo(*target, options.family, socket.SOCK_STREAM)
        targets = [(str(info[4][0]), address.port) for info in found]
    source: dict[str, Any] = {"source_address": (options.bind, 0)} if options.bind else {}
    for one in targets[:-1]:
        with suppress(OSError):
            return socket.create_connection(one, timeout_s, **source)
    return socket.create_connection(targets[-1], timeout_s, **source)


class _CommandSocket(socket.socket):
    """A socket whose other end is the input and output of a shell command, which ends with it."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us, who then close the socket
            )
        threading.Thread(target=self._process.wait, daemon=True).start()  # nobody else takes leave of it

    def close(self) -> None:
        super().close()
        self._process.terminate()


def _channel(server: paramiko.Transport, address: Address, timeout_s: float) -> paramiko.Channel:
    target = (address.host, address.port)
    return server.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout_s)


def _log_in(address: Address, link: socket.socket | paramiko.Channel, timeout_s: float) -> paramiko.Transport:
    peer = None
    if isinstance(link, socket.socket) and address.command is None:
        peer = link.getpeername()[0]
    check = HostKeyCheck(address, peer)
    transport = paramiko.Transport(link)
    transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = timeout_s
    try:
        choose_algorithms(transport, address, check)
        transport.use_compression(address.options.compression)
        transport.start_client(timeout=timeout_s)
        check.accept(transport.get_remote_server_key())
        log_in(transport, address)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEPALIVE_S)
    return transport
