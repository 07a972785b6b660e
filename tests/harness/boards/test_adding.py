"""Settings for a board as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.adding import ssh_settings
from harness.core.errors import UsageError


def test_paths_are_valid_wherever_the_profile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = ssh_settings("pi@board", identity_file="../keys/pi key", known_hosts="~/boards")
    assert found.identity_file is not None
    assert Path(found.identity_file).is_absolute()
    assert Path(found.identity_file).resolve() == tmp_path / "keys" / "pi key"
    assert found.known_hosts == str(tmp_path / "home" / "boards")
    assert ssh_settings("pi@board").identity_file is None


def test_what_is_no_path_is_refused_before_that() -> None:
    for wrong in ("", "-v", "a\nb"):
        with pytest.raises(UsageError, match="identity_file"):
            ssh_settings("pi@board", identity_file=wrong)
