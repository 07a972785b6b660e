"""Files on their way to a board: continued after a lost link, and looked at before they are used."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from pathlib import Path

import pytest
from boards_loopback import LoopbackBoard

from harness.agent.archive import archive_bytes
from harness.boards.board import Board
from harness.core.errors import DeviceUnavailableError
from harness.devices.profile import DeviceProfile

SIZE_BYTES = 24 << 20


def open_board(loopback: LoopbackBoard) -> Board:
    return Board(DeviceProfile.model_validate(loopback.endpoint.profile("board")))


def test_upload_goes_on_where_the_link_broke(loopback: LoopbackBoard) -> None:
    content = os.urandom(SIZE_BYTES)
    target = loopback.directory / "large"

    def sent() -> list[Path]:
        return list(loopback.directory.glob("large.*.part"))

    with open_board(loopback) as board:

        def break_link() -> None:
            while not (sent() and sent()[0].stat().st_size > SIZE_BYTES // 8):
                time.sleep(0.001)
            board.connection.close()

        breaker = threading.Thread(target=break_link)
        breaker.start()
        with pytest.raises(DeviceUnavailableError, match="was lost while uploading large"):
            board.files.write(str(target), content)
        breaker.join()
    (part,) = sent()
    assert 0 < part.stat().st_size < SIZE_BYTES and not target.exists()
    number = part.stat().st_ino
    with open_board(loopback) as board:
        board.files.write(str(target), content)
    assert target.read_bytes() == content
    assert target.stat().st_ino == number, "it is the file that was begun"
    assert not sent()


def test_what_is_not_what_was_sent_is_refused_and_sent_anew(loopback: LoopbackBoard) -> None:
    content = archive_bytes()
    with open_board(loopback) as board:
        path = Path(board.archive_path)
        path.parent.mkdir(parents=True)
        begun = f"{path}.{hashlib.sha256(content).hexdigest()[:8]}.part"
        Path(begun).write_bytes(b"\0" * 1000)  # as after a power cut: its length is there, its content is not
        with pytest.raises(DeviceUnavailableError, match=re.escape("is not what was sent; try again")):
            board.bring_archive()
        assert not list(path.parent.iterdir())
        board.bring_archive()
        assert path.read_bytes() == content
