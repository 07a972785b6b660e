"""What is known of a server beside the key that it has; OpenSSH is asked in the integration tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import paramiko
import pytest

from harness.core.errors import UsageError
from harness.transport.ssh_address import Address
from harness.transport.ssh_errors import HostKeyChangedError, HostKeyRevokedError, HostKeyUnknownError
from harness.transport.ssh_host_key import HostKeyCheck
from harness.transport.ssh_options import Options

KEY, OTHER = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
PEER = "192.0.2.7"
POSSIBLE = ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


def line(names: str, key: paramiko.PKey) -> str:
    return f"{names} {key.get_name()} {key.get_base64()}\n"


def check(folder: Path, lines: Sequence[str], peer: str | None = PEER, **options: object) -> HostKeyCheck:
    known = folder / "known"
    known.write_text("".join(lines))
    address = Address(
        "board",
        22,
        "me",
        (),
        (known,),
        new_keys=known,
        options=Options(**options),  # type: ignore[arg-type]
    )
    return HostKeyCheck(address, peer)


def test_an_address_that_is_known_with_another_key_counts_where_it_is_asked_for(tmp_path: Path) -> None:
    lines = (line("board", KEY), line(PEER, OTHER))
    check(tmp_path, lines).accept(KEY)
    check(tmp_path, lines, check_address=True, strict="no").accept(KEY)
    check(tmp_path, lines, "127.0.0.1", check_address=True).accept(KEY)
    check(tmp_path, lines, None, check_address=True).accept(KEY)
    with pytest.raises(HostKeyChangedError):
        check(tmp_path, lines, check_address=True).accept(KEY)


def test_kinds_of_keys_that_are_known_are_asked_for_first(tmp_path: Path) -> None:
    assert check(tmp_path, ()).algorithms(POSSIBLE) == list(POSSIBLE[1:])
    assert check(tmp_path, (line("board", KEY),)).algorithms(POSSIBLE)[0] == "ecdsa-sha2-nistp256"
    rsa = line("board", paramiko.RSAKey.generate(2048))
    assert check(tmp_path, (rsa,)).algorithms(POSSIBLE)[0] == "rsa-sha2-512"
    authority = f"@cert-authority {line('*', OTHER)}"
    assert check(tmp_path, (authority,)).algorithms(POSSIBLE)[0].endswith("-cert-v01@openssh.com")


def test_a_key_that_is_accepted_unseen_is_known_the_next_time(tmp_path: Path) -> None:
    with pytest.raises(HostKeyUnknownError):
        check(tmp_path, ()).accept(KEY)
    known = tmp_path / "known"
    check(tmp_path, (), strict="accept-new", hash_names=True).accept(KEY)
    noted = known.read_text()
    assert "board" not in noted and noted.endswith("\n")
    check(tmp_path, (noted,)).accept(KEY)
    with pytest.raises(HostKeyChangedError):
        check(tmp_path, (noted,), strict="accept-new").accept(OTHER)
    assert known.read_text() == noted


def test_an_entry_is_added_to_a_file_without_a_last_newline(tmp_path: Path) -> None:
    check(tmp_path, ("# mine",), strict="accept-new").accept(KEY)
    assert (tmp_path / "known").read_text() == "# mine\n" + line("board", KEY)


def test_a_list_of_revoked_keys_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    lines, revoked = (line("board", KEY),), tmp_path / "revoked"
    with pytest.raises(UsageError, match="revoked"):
        check(tmp_path, lines, revoked=revoked)
    revoked.write_bytes(b"SSHKRL\n\0...")
    with pytest.raises(UsageError, match="KRL"):
        check(tmp_path, lines, revoked=revoked)
    revoked.write_text(f"# old\n{OTHER.get_name()} {OTHER.get_base64()} comment\n")
    check(tmp_path, lines, revoked=revoked).accept(KEY)
    revoked.write_text(f"{KEY.get_name()} {KEY.get_base64()}\n")
    with pytest.raises(HostKeyRevokedError):
        check(tmp_path, lines, revoked=revoked, strict="no").accept(KEY)
