"""Why a board cannot be logged in to: a type for each reason, told by paramiko's types where it has any."""

from __future__ import annotations

import socket
from pathlib import Path

import paramiko
import pytest

from harness.transport import ssh_errors
from harness.transport.ssh_address import Address
from harness.transport.ssh_known_hosts import KnownKey

KEY = paramiko.ECDSAKey.generate()
BOARD = Address("board", 22, "me", (Path("/key"),), (Path("/known"),))
PROXIED = Address("board", 22, "me", (), (), command="nc board 22")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (paramiko.PasswordRequiredException("x"), ssh_errors.KeyLockedError),
        (paramiko.AuthenticationException("x"), ssh_errors.LoginRefusedError),
        (paramiko.SSHException("No authentication methods available"), ssh_errors.LoginRefusedError),
        (socket.gaierror(-2, "x"), ssh_errors.HostNameError),
        (ConnectionRefusedError(111, "x"), ssh_errors.PortClosedError),
        (TimeoutError(), ssh_errors.HostSilentError),
        (paramiko.SSHException("Error reading SSH protocol banner"), ssh_errors.NoSshServerError),
        (OSError(113, "No route to host"), ssh_errors.NoConnectionError),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_reason_has_a_type(error: Exception, kind: type[ssh_errors.NoConnectionError]) -> None:
    found = ssh_errors.explain(BOARD, error)
    assert type(found) is kind
    assert "board" in str(found) and "\n" not in str(found) and found.exit_code == 3


def test_a_silent_proxy_command_is_its_own_reason() -> None:
    failed = paramiko.SSHException("Error reading SSH protocol banner")
    assert type(ssh_errors.explain(PROXIED, failed)) is ssh_errors.ProxyCommandError
    assert type(ssh_errors.explain(PROXIED, TimeoutError())) is ssh_errors.HostSilentError


def test_what_paramiko_says_where_it_has_no_types(tmp_path: Path) -> None:
    """The two texts that are looked for are this paramiko's own."""
    source = Path(str(paramiko.__file__)).parent
    assert '"No authentication methods available"' in (source / "client.py").read_text()
    assert '"Error reading SSH protocol banner"' in (source / "transport.py").read_text()


def test_a_changed_key_is_told_with_the_one_that_is_known() -> None:
    other = paramiko.ECDSAKey.generate()
    known = KnownKey("", "board", other.get_name(), other.asbytes(), Path("/known"), 3)
    found = ssh_errors.changed_key(BOARD, KEY, known)
    assert type(found) is ssh_errors.HostKeyChangedError
    assert "board" in str(found) and "\n" not in str(found) and found.exit_code == 3
    assert str(KEY.fingerprint) in str(found) and str(other.fingerprint) in str(found)  # type: ignore[attr-defined]


def test_an_unknown_key_is_told_with_the_command_that_accepts_it() -> None:
    found = ssh_errors.unknown_key(BOARD, KEY)
    assert found.code == "host-key-unknown" and KEY.get_base64() in str(found)
