"""Commands about boards where no board is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.board import describe
from harness.boards.wheels import BoardPlatform
from harness.cli import main
from harness.core.errors import DeviceUnavailableError


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["devices", "add", "../x", "--ssh", "pi@host"], "is no device name"),
        (["devices", "add", "pi", "--ssh", "pi@ho st"], "is no SSH destination"),
        (["devices", "add", "pi", "--ssh", "pi@host", "--directory", "a b"], "directory"),
        (["devices", "add", "pi", "--ssh", "pi@host", "--identity-file", "/none"], "/none does not exist"),
        (["devices", "remove", "raspi4"], "shipped profiles cannot be removed"),
        (["agent", "install", "--device", "cpu"], "is this machine"),
    ],
)
def test_wrong_usage(
    command: list[str], words: str, home_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    read = capsys.readouterr().err
    assert words in read and read.count("\n") == 1
    assert not list(home_folder.glob("devices/*"))


def test_profile_in_use_is_not_replaced(home_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home_folder / "devices").mkdir(parents=True)
    path = home_folder / "devices" / "pi.yaml"
    path.write_text("name: pi\n")
    assert main(["devices", "add", "pi", "--ssh", "pi@host"]) == 2
    assert "--force" in capsys.readouterr().err and path.read_text() == "name: pi\n"
    assert main(["devices", "remove", "pi"]) == 0 and not path.exists()


def test_shipped_board_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host raspi4\n HostName 127.0.0.1\n Port 1\n")
    assert main(["profile", "--device", "raspi4", "--archs", "1"]) == 3
    assert "device raspi4: nothing listens on port 1 of 127.0.0.1" in capsys.readouterr().err


def test_description_of_a_board() -> None:
    inventory = {
        "board": "Raspberry Pi 4 Model B Rev 1.4",
        "machine": "aarch64",
        "cpu": {"model": "0x41:0xd08", "logical": 4},
        "memory_mb": 3793,
        "os": {"distribution": "debian 12"},
    }
    expected = "Raspberry Pi 4 Model B Rev 1.4, aarch64, 4 x 0x41:0xd08, 3793 MB, debian 12"
    assert describe(inventory) == expected
    assert describe({"machine": "x86_64", "cpu": {}}) == "x86_64", "what is not known is left out"


def test_wheels_fit_the_boards_c_library() -> None:
    tags = BoardPlatform("aarch64", ("glibc", "2.31"), (3, 9, 2)).tags()
    assert tags[0] == "manylinux_2_31_aarch64" and tags[-2:] == [
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]
    for libc in (("", ""), ("musl", "1.2.3")):
        with pytest.raises(DeviceUnavailableError, match="there are no wheels for a board with"):
            BoardPlatform("aarch64", libc, (3, 11, 0)).tags()
