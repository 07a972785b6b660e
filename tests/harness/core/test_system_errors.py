"""What the operating system refuses, in words for people."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from pathlib import Path

import pytest
from modnas_agent.permissions import permission_hint

from harness.core.errors import DeviceUnavailableError, needed
from harness.core.system_errors import naming, told


@pytest.mark.parametrize("number", [n for n in vars(errno).values() if isinstance(n, int)])
def test_any_refusal_is_one_line_without_python_in_it(tmp_path: Path, number: int) -> None:
    said = told(OSError(number, os.strerror(number), str(tmp_path / "absent" / "file")))
    assert said.startswith(f"{tmp_path / 'absent' / 'file'}: {os.strerror(number)}")
    assert "Errno" not in said and "\n" not in said
    assert told(OSError(number, os.strerror(number))).startswith(os.strerror(number))


def test_a_path_that_the_sentence_names_is_not_named_again(tmp_path: Path) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path))
    assert told(error, tmp_path) == "No such file or directory"


def test_errors_of_other_kinds_keep_their_words() -> None:
    assert told(ValueError("two\n lines")) == "two lines"
    assert told(MemoryError()) == "MemoryError"


def test_a_full_disk_gets_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent") as caught, naming(tmp_path / "absent"):
        raise OSError(errno.ENOSPC, "No space left on device")
    said = told(caught.value)
    assert f"the disk of {tmp_path}" in said and "MB free" in said


def test_what_a_measurement_needs_says_so_too(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailableError, match="this machine cannot start") as caught, needed("start"):
        (tmp_path / "absent").open()
    assert "Errno" not in str(caught.value) and str(tmp_path / "absent") in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_group_that_may_is_named_with_the_command_that_joins_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = next(one for one in grp.getgrall() if one.gr_gid not in {0, *os.getgroups()})
    device = tmp_path / "vchiq"
    device.touch()
    os.chown(device, 0, group.gr_gid)
    device.chmod(0o660)
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert f"sudo usermod -aG {group.gr_name} {me}" in permission_hint(device)
    said = told(PermissionError(errno.EACCES, "Permission denied", str(device)))
    assert f"usermod -aG {group.gr_name}" in said
    device.chmod(0o600)
    assert "usermod" not in permission_hint(device) and "root" in permission_hint(device)


def test_a_file_that_is_not_there_is_spoken_for_by_its_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in permission_hint(tmp_path / "absent")
