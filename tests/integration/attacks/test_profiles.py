"""Profiles from a stranger: nothing they name becomes a command, here or in what is shown to be copied."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import paramiko
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from integration_home import Home
from pydantic import ValidationError

from harness.backends.tvm import TvmOptions
from harness.cli import main
from harness.core.errors import UsageError
from harness.devices.profile import load_profile
from harness.transport import ssh_address, ssh_errors
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import Address, parse_destination, resolve
from harness.transport.ssh_known_hosts import KnownKey
from harness.transport.ssh_options import HostConfig, as_config

# Every way in which a person may have quoted a token in the own configuration.
WORDS = ("%h", "%n", "%k", "%p", "%r")
QUOTED = " ".join(f"\"{word}\" '{word}' {word}" for word in WORDS)
ECHO = f"printf '%%s\\0' {QUOTED}"


def profile_file(home: Home, **ssh: Any) -> Path:
    path = home.folder / "devices" / "guest.yaml"
    path.write_text(yaml.safe_dump({"name": "guest", "transport": {"ssh": ssh}}))
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line of a command that is refused, in which no control character is raw."""
    capsys.readouterr()
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.startswith("error: ") and errors.count("\n") == 1
    assert errors[:-1].isprintable(), errors
    return errors


def spoken(command: str) -> list[str]:
    """What the words are that a shell hands to a command which prints its arguments."""
    done = subprocess.run(["/bin/sh", "-c", f"exec {command}"], capture_output=True, check=True, timeout=10)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


REFUSED = [
    ("user", "$(touch canary)", "e.g. pi"),
    ("user", "`touch canary`", "e.g. pi"),
    ("user", "a;touch canary", "e.g. pi"),
    ("user", "a|b", "e.g. pi"),
    ("user", "a&b", "e.g. pi"),
    ("user", "a>b", "e.g. pi"),
    ("user", "a<b", "e.g. pi"),
    ("user", "o'neill", "e.g. pi"),
    ("user", 'a"b', "e.g. pi"),
    ("user", "$HOME", "e.g. pi"),
    ("user", "a{b,c}", "e.g. pi"),
    ("user", "a(b)", "e.g. pi"),
    ("user", "a\\", "e.g. pi"),
    ("user", "-oProxyCommand=x", "e.g. pi"),
    ("user", "a b", "e.g. pi"),
    ("user", "a\tb", "e.g. pi"),
    ("user", "a\nb", "e.g. pi"),
    ("user", "a\x1b[2Jb", "e.g. pi"),
    ("user", "a\u202eb", "e.g. pi"),
    ("user", "a\u00a0b", "e.g. pi"),
    ("user", "a\0b", "e.g. pi"),
    ("user", "a@b", "e.g. pi"),
    ("user", "", "e.g. pi"),
    ("host", "$(touch canary)", "e.g. raspberrypi.local"),
    ("host", "a;b", "e.g. raspberrypi.local"),
    ("host", "-x", "e.g. raspberrypi.local"),
    ("host", "a b", "e.g. raspberrypi.local"),
    ("host", "a\n", "e.g. raspberrypi.local"),
    ("host", "*", "e.g. raspberrypi.local"),
    ("host", "a,b", "e.g. raspberrypi.local"),
    ("host", "a\\b", "e.g. raspberrypi.local"),
    ("host", "\uff11\uff19\uff12.0.2.1", "e.g. raspberrypi.local"),
    ("jump", "$(touch canary)@gate", "user@host:port"),
    ("jump", "gate,a@`id`", "user@host:port"),
    ("jump", "gate,-oProxyCommand=x", "user@host:port"),
    ("jump", "gate,,inner", "user@host:port"),
    ("jump", "gate:\uff12\uff12", "user@host:port"),
    ("jump", "gate:0", "user@host:port"),
    ("jump", "ga\x07te", "user@host:port"),
    ("jump", ",".join(["gate"] * 9), "at most 8"),
    ("identity_file", "a\nb", "~/.ssh/id_ed25519"),
    ("identity_file", "-x", "~/.ssh/id_ed25519"),
    ("identity_file", "a\0b", "~/.ssh/id_ed25519"),
    ("known_hosts", "a\x1b]0;b\x07", "~/.ssh/id_ed25519"),
    ("known_hosts", "a\u2028b", "~/.ssh/id_ed25519"),
    ("python", "python3\nreboot", "printable"),
    ("python", "-c", "printable"),
    ("python", "LD_PRELOAD=/tmp/x.so", "python3.11"),
    ("directory", "a; reboot", ".modnas-agent"),
    ("directory", "$(reboot)", ".modnas-agent"),
    ("directory", "-rf", ".modnas-agent"),
    ("directory", "a\n", ".modnas-agent"),
]


@pytest.mark.parametrize(("field", "value", "hint"), REFUSED)
def test_profile_with_a_name_of_no_form_is_refused(
    home: Home, capsys: pytest.CaptureFixture[str], field: str, value: str, hint: str
) -> None:
    path = profile_file(home, **{field: value})
    shown = refused(capsys, "devices", "show", "guest")
    assert f"profile {path}: field transport.ssh.{field}: " in shown and hint in shown
    if field != "jump" or hint != "at most 8":
        assert repr(value)[1:-1] in shown


OPTIONS = {
    "jump": "--jump",
    "identity_file": "--identity-file",
    "known_hosts": "--known-hosts",
    "python": "--python",
    "directory": "--directory",
}


@pytest.mark.parametrize(("field", "value", "hint"), [case for case in REFUSED if case[0] in OPTIONS])
def test_adding_a_board_refuses_the_same(
    home: Home, capsys: pytest.CaptureFixture[str], field: str, value: str, hint: str
) -> None:
    shown = refused(capsys, "devices", "add", "guest", "--ssh", "pi@127.0.0.1", f"{OPTIONS[field]}={value}")
    assert field in shown and hint in shown
    assert not (home.folder / "devices" / "guest.yaml").exists()


@pytest.mark.parametrize(
    "destination",
    [
        "$(touch canary)@host",
        "a;b@host",
        "a@$(id)",
        "a\x1b[0m@host",
        "host:\uff12\uff12",
        "-l@host",
        "o'neill@host",
    ],
)
def test_adding_a_board_refuses_its_destination(
    home: Home, capsys: pytest.CaptureFixture[str], destination: str
) -> None:
    assert "is no SSH destination" in refused(capsys, "devices", "add", "guest", f"--ssh={destination}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "pi"),
        ("user", "ada.lovelace-1_x"),
        ("user", "CORP\\ada"),
        ("user", "jürgen"),
        ("user", "a+b"),
        ("host", "192.0.2.1"),
        ("host", "fe80::1%eth0"),
        ("host", "raspberrypi.local"),
        ("jump", "none"),
        ("jump", ""),
        ("jump", "eve@gate:2200, [2001:db8::1]:22,inner"),
        ("identity_file", "~/my keys/the board's (new) key"),
        ("known_hosts", "/home/ada/鍵/known_hosts"),
        ("python", "/opt/my python/bin/python3"),
        ("directory", "/data/local/modnas.agent"),
    ],
)
def test_profile_that_is_fine_still_loads(home: Home, field: str, value: str) -> None:
    ssh = load_profile(profile_file(home, **{field: value})).ssh
    assert ssh is not None and getattr(ssh, field) == value


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "llvm", "mtriple": "/tmp/x"},
        {"kind": "llvm", "mtriple": "../x"},
        {"kind": "llvm", "mtriple": "a b"},
        {"kind": "llvm", "mcpu": "$(id)"},
        {"kind": "llvm", "mcpu": "-x"},
        {"kind": "llvm", "mattr": ["+neon", "a\nb"]},
        {"kind": "llvm", "cl-opt": ["-info-output-file=/tmp/x"]},
        {"kind": "llvm", "-x": "y"},
    ],
    ids=str,
)
def test_target_names_no_file_and_no_program(home: Home, target: dict[str, Any]) -> None:
    path = home.folder / "devices" / "guest.yaml"
    path.write_text(yaml.safe_dump({"name": "guest", "options": {"target": target}}))
    with pytest.raises(UsageError, match=r"field options\.target: .*aarch64-linux-gnu"):
        load_profile(path)


@pytest.mark.parametrize(
    "target",
    [
        {"kind": "llvm", "mtriple": "armv7a-linux-gnueabihf", "mattr": ["+neon", "-crypto"], "num-cores": 4},
        {"kind": "llvm", "mcpu": "cortex-a72", "mfloat-abi": "hard"},
    ],
    ids=str,
)
def test_target_of_a_board_still_loads(target: dict[str, Any]) -> None:
    assert TvmOptions(target=target).target == target


@pytest.mark.parametrize("field", ["path", "sysfs_root"])
def test_paths_of_a_power_sensor_are_paths(home: Home, field: str) -> None:
    path = home.folder / "devices" / "guest.yaml"
    path.write_text(yaml.safe_dump({"name": "guest", "power_sensor": {"name": "csv", field: "a\x1b[2J"}}))
    with pytest.raises(UsageError, match=rf"field power_sensor\.{field}: 'a\\x1b\[2J' is no path"):
        load_profile(path)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own SSH configuration, empty as yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ssh" / "config"
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    return path


@pytest.mark.parametrize("quoted", ['"%r"', "'%r'", "%r"])
@pytest.mark.parametrize("user", ["$(touch canary)", "`touch canary`", "a;touch${IFS}canary;"])
def test_command_in_a_profile_does_not_run(
    home: Home, configured: Path, capsys: pytest.CaptureFixture[str], quoted: str, user: str
) -> None:
    configured.write_text(f"Host *\n ProxyCommand true {quoted}\n")
    profile_file(home, host="127.0.0.1", user=user)
    code = main(["devices", "check", "guest"])
    assert not (configured.parent / "canary").exists()
    assert code == 2 and repr(user)[1:-1] in capsys.readouterr().err


SHELL = st.sampled_from("$`\"'\\;&|<>(){}[]*?!#~^=%, \t\n-ab@:./äß\u00a0\u2028\x00\x1b\x7f")
TEXT = st.text(max_size=12) | st.text(SHELL, max_size=8)


def through_command(alias: str, _: Path | None, user: str | None, port: int | None) -> HostConfig:
    """What a configuration says that has every host reached through a command with all tokens."""
    return as_config(alias, {"proxycommand": [ECHO], "user": ["pi"]}, {}, user, port)


def straight(alias: str, _: Path | None, user: str | None, port: int | None) -> HostConfig:
    """What an empty configuration says but for the user."""
    return as_config(alias, {"user": ["pi"]}, {}, user, port)


def unharmed(name: str, given: SshSettings) -> None:
    """The words that a shell hands over are those that were given, or the command is not made."""
    try:
        address = resolve(name, given)
    except UsageError:
        return
    assert address.command is not None
    values = (address.host, given.host or name, given.host or name, str(address.port), address.user)
    assert spoken(address.command) == [value for value in values for _ in range(3)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@example("CORP\\ada")
@example("a*")
@example("~root")
@given(TEXT)
def test_any_user_is_refused_or_one_word(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(ssh_address, "look_up", through_command)
    try:
        given = SshSettings(user=text, port=2222)
    except ValidationError:
        return
    unharmed("guest", given)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXT)
def test_any_host_is_refused_or_one_word(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(ssh_address, "look_up", through_command)
    try:
        given = SshSettings(host=text)
    except ValidationError:
        return
    unharmed("guest", given)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXT)
def test_any_way_is_refused_or_of_plain_words(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    try:
        given = SshSettings(host="board", jump=text)
    except ValidationError:
        return
    # The way to the first hop may lead through a command, too.
    ways = iter([straight, through_command])

    def look_up(alias: str, file: Path | None, user: str | None, port: int | None) -> HostConfig:
        return next(ways, straight)(alias, file, user, port)

    monkeypatch.setattr(ssh_address, "look_up", look_up)
    try:
        address = resolve("board", given)
    except UsageError:
        return
    for hop in address.jumps:
        if hop.command is not None:
            # A name is looked up in small letters, and told as it was given.
            words = {word.lower() for word in spoken(hop.command)}
            assert words == {hop.host, str(hop.port), hop.user.lower()}


@settings(max_examples=200)
@given(TEXT)
def test_any_destination_is_refused_or_comes_back(text: str) -> None:
    try:
        found = parse_destination(text)
    except UsageError as error:
        assert str(error).isprintable()
        return
    assert SshSettings.model_validate(found.model_dump()) == found


@pytest.mark.parametrize("source", ["OpenSSH", "paramiko"])
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("nc %h %q", "unknown token '%q'"),
        ("nc %h %C", "unknown token '%C'"),
        ("nc %h %", "unknown token '%'"),
        ("nc %n %p %k 50%%", None),
    ],
)
def test_tokens_of_a_proxy_command(
    configured: Path, monkeypatch: pytest.MonkeyPatch, source: str, command: str, says: str | None
) -> None:
    if source == "paramiko":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    elif shutil.which("ssh") is None:
        pytest.skip("OpenSSH's client is not installed")
    configured.write_text(f"Host board\n HostKeyAlias keys\n ProxyCommand {command}\n")
    if says is None:
        assert resolve("board", SshSettings(user="pi")).command == "nc board 22 keys 50%"
    else:
        with pytest.raises(UsageError, match=f"the way to board in .*{says}"):
            resolve("board", SshSettings(user="pi"))


def test_configured_user_is_no_command_either(configured: Path) -> None:
    configured.write_text("Host board\n User CORP\\ada\n ProxyCommand nc %h %p\n")
    assert resolve("board", SshSettings()).command == "nc board 22"
    configured.write_text('Host board\n User CORP\\ada\n ProxyCommand nc %h "%r"\n')
    if shutil.which("ssh") is not None:
        with pytest.raises(UsageError, match=r"'CORP\\\\ada' cannot be put in for %r"):
            resolve("board", SshSettings())


# What is shown to be copied.


NASTY = Path("/tmp/a b/$(touch canary)'\"`;/key")
BOARD = Address("fe80::1%eth0", 2222, "CORP\\a*da", (NASTY,), (NASTY,))
KEY = paramiko.ECDSAKey.generate()
ENTRY = KnownKey("", BOARD.known_name, KEY.get_name(), KEY.asbytes(), NASTY, 1)


def hints() -> list[tuple[str, list[str]]]:
    """Lines with a command to copy, and the words that it must have."""
    copy = ["ssh-copy-id", "-p", "2222", "CORP\\a*da@fe80::1%eth0"]
    known = f"{BOARD.known_name} {KEY.get_name()} {KEY.get_base64()}"
    return [
        (str(ssh_errors.explain(BOARD, paramiko.AuthenticationException())), copy),
        (str(ssh_errors.explain(BOARD, paramiko.PasswordRequiredException())), ["ssh-add", str(NASTY)]),
        (
            str(ssh_errors.changed_key(BOARD, KEY, ENTRY)),
            ["ssh-keygen", "-R", BOARD.known_name, "-f", str(NASTY)],
        ),
        (
            str(ssh_errors.unknown_key(BOARD, KEY)),
            ["mkdir", "-p", str(NASTY.parent), "&&", "echo", known, ">>", str(NASTY)],
        ),
    ]


@pytest.mark.parametrize(("line", "words"), hints(), ids=lambda value: value[0][:12])
def test_command_to_copy_has_the_words_that_it_shows(line: str, words: list[str]) -> None:
    command = line.rpartition("with: ")[2]
    assert shlex.split(command) == words
    if ">>" not in words:
        assert spoken(f"printf '%s\\0' {command}") == words


def test_control_characters_of_a_profile_do_not_reach_the_terminal(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.folder / "devices" / "guest.yaml").write_text('name: guest\ndescription: "a\\e[2J\\u202Eb"\n')
    assert main(["devices", "list"]) == 0
    shown = capsys.readouterr().err
    assert "a\\x1b[2J\\u202eb" in shown and "\x1b" not in shown and "\u202e" not in shown
