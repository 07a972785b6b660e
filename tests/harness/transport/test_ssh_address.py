"""Where a board is: profiles and `~/.ssh/config`."""

from __future__ import annotations

import getpass
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.devices.profile import DeviceProfile, ProfileError, load_profile
from harness.devices.registry import get_profile
from harness.transport import ssh_config
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import Address, parse_destination, resolve

CONFIG = """
Host pi
    HostName 192.0.2.7
    Port 2222
    User ada
    IdentityFile ~/.ssh/pi_key
    UserKnownHostsFile ~/.ssh/boards
    ProxyJump eve@gate:2200,inner

Host inner
    HostName inner.example
    User bob
    IdentitiesOnly yes

Host odd
    ProxyCommand nc %h %p %r 100%%

Host direct
    ProxyJump none
"""


@pytest.fixture(params=["OpenSSH", "ourselves", "ourselves, with another's ssh"])
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, read by OpenSSH or without it."""
    if request.param == "ourselves":
        monkeypatch.setattr(ssh_config.shutil, "which", lambda _: None)
    elif request.param != "OpenSSH":
        other = tmp_path / "ssh"
        other.write_text("#!/bin/sh\necho unknown option -G >&2; exit 1\n")
        other.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    elif shutil.which("ssh") is None:
        pytest.skip("OpenSSH's client is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ssh" / "config"
    path.parent.mkdir()
    # OpenSSH takes `~` for the home in the passwd file, whatever HOME says.
    path.write_text(CONFIG.replace("~/.ssh/boards", str(path.parent / "boards")))
    return path


def test_everything_comes_from_the_configuration(config: Path) -> None:
    found = resolve("pi", SshSettings())
    assert (found.host, found.port, found.user) == ("192.0.2.7", 2222, "ada")
    assert found.identity_files == (config.parent / "pi_key",)
    assert found.known_hosts[0] == config.parent / "boards"
    assert str(found) == "ada@192.0.2.7:2222" and found.known_name == "[192.0.2.7]:2222"
    gate, inner = found.jumps
    assert (gate.user, gate.host, gate.port) == ("eve", "gate", 2200)
    assert (inner.user, inner.host, inner.port, inner.identities_only) == ("bob", "inner.example", 22, True)
    assert not gate.jumps and not inner.jumps


def test_profile_wins_over_the_configuration(config: Path) -> None:
    key = config.parent / "other_key"
    key.touch()
    settings = SshSettings(
        host="pi", port=22, user="eve", identity_file=str(key), known_hosts="~/k", jump="none"
    )
    known = config.parent.parent / "k"
    expected = Address("192.0.2.7", 22, "eve", (key,), (known,), new_keys=known)
    assert resolve("whatever", settings) == expected
    assert expected.known_name == "192.0.2.7"


def test_without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = resolve("raspi4", SshSettings())
    assert (found.host, found.port, found.user) == ("raspi4", 22, getpass.getuser())
    assert found.known_hosts[0] == tmp_path / ".ssh" / "known_hosts" and not found.jumps


@pytest.mark.usefixtures("config")
def test_proxy_command_knows_where_to_go() -> None:
    found = resolve("odd", SshSettings(user="o.neill", port=2222))
    assert found.command == "nc odd 2222 o.neill 100%"
    assert resolve("odd", SshSettings(jump="gate")).command is None, "the profile's way wins"
    assert resolve("direct", SshSettings()).command is None


def test_way_to_a_jump_host(config: Path) -> None:
    config.write_text("Host a\n ProxyJump b,c\nHost b\n ProxyJump d\nHost c\n ProxyJump e\n")
    assert [hop.host for hop in resolve("a", SshSettings()).jumps] == ["d", "b", "c"]
    config.write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with pytest.raises(UsageError, match="jump host of itself"):
        resolve("a", SshSettings())


def test_what_cannot_be_used_is_said(config: Path) -> None:
    assert resolve("direct", SshSettings()).jumps == ()
    with pytest.raises(UsageError, match="identity file /none does not exist"):
        resolve("direct", SshSettings(identity_file="/none"))
    config.write_bytes(b"Host \xff\xfe\n Port many\n\x00")
    with pytest.raises(UsageError, match=r"\.ssh/config cannot be used: "):
        resolve("direct", SshSettings())


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
def test_included_files_count(tmp_path: Path) -> None:
    (tmp_path / "boards").write_text("Host pi\n HostName 192.0.2.9\n Port 2200\n")
    path = tmp_path / "config"
    path.write_text(f"Include {tmp_path}/boards\nHost *\n User ada\n")
    found = resolve("pi", SshSettings(), path)
    assert str(found) == "ada@192.0.2.9:2200" and found.identity_files == ()


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("pi@host", "pi", "host", None),
        ("host", None, "host", None),
        ("a@10.0.0.1:2222", "a", "10.0.0.1", 2222),
        ("a@[::1]:22", "a", "::1", 22),
        ("ssh://a@host:2222/", "a", "host", 2222),
    ],
)
def test_destinations(text: str, user: str | None, host: str, port: int | None) -> None:
    found = parse_destination(text)
    assert (found.user, found.host, found.port) == (user, host, port)


@pytest.mark.parametrize(
    "text", ["", "@", "a@", "@h", "-oProxyCommand=x", "a@-x", "h:0", "h:99999", "a b", "h:x", "a@h;reboot"]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(UsageError, match="is no SSH destination"):
        parse_destination(text)


@given(st.text(max_size=30))
def test_no_destination_smuggles_an_option_or_a_second_word(text: str) -> None:
    try:
        found = parse_destination(text)
    except UsageError:
        return
    for part in (found.user, found.host):
        assert part is None or (part and part[0] != "-" and not any(c.isspace() for c in part))


def test_shipped_board_is_found_by_its_name(config: Path) -> None:
    config.write_text("Host raspi4\n HostName 192.0.2.4\n User pi\n")
    profile = get_profile("raspi4")
    assert profile.ssh is not None and str(resolve(profile.name, profile.ssh)) == "pi@192.0.2.4"
    phone = get_profile("termux")
    assert phone.ssh is not None and resolve(phone.name, phone.ssh).port == 8022


@pytest.mark.parametrize(
    ("transport", "field"),
    [
        ("{ssh: {port: 0}}", "transport.ssh.port"),
        ("{ssh: {hots: x}}", "transport.ssh.hots"),
        ("{ssh: {host: '-x'}}", "transport.ssh.host"),
        ("{ssh: {directory: 'a; rm -rf b'}}", "transport.ssh.directory"),
        ("{ssh: {directory: ''}}", "transport.ssh.directory"),
        ("ssh", "transport: expected local, or ssh"),
        ("{}", "transport.ssh"),
    ],
)
def test_wrong_transport_names_its_field(tmp_path: Path, transport: str, field: str) -> None:
    path = tmp_path / "pi.yaml"
    path.write_text(f"name: pi\ntransport: {transport}\n")
    with pytest.raises(ProfileError, match=f"field {field}"):
        load_profile(path)


def test_profile_of_a_board_round_trip() -> None:
    profile = get_profile("raspi4@8")
    assert profile.batch == 8 and profile.ssh == SshSettings()
    assert DeviceProfile.model_validate(profile.model_dump()) == profile
