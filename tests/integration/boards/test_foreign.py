"""A person's files on a board, while the agent comes, fills the disk, and goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_namespace import NamespaceBoard

Run = Callable[..., str]
SMALL = "/home/board/small"
#: A photo folder in the home, and files in every folder of the agent's.
PLACES = (
    "/home/board/photos/2024/cat.jpg",
    "/home/board/photos/.hidden.jpg",
    f"{SMALL}/cat.jpg",
    f"{SMALL}/agent/notes.txt",
    f"{SMALL}/agent/modnas_agent-notes.txt",
    f"{SMALL}/agent/.hidden",
    f"{SMALL}/agent/artifacts/model.onnx",
    f"{SMALL}/agent/artifacts/mine/model.onnx",
    f"{SMALL}/agent/journal/2024.json",
    f"{SMALL}/agent/runtime-notes/x",
)
LINK = f"{SMALL}/agent/artifacts/link"


def hashes(board: NamespaceBoard) -> str:
    """Of every foreign file, and where the link leads."""
    return board.shell(f"sha256sum {' '.join(PLACES)} {SMALL}/fill*; readlink {LINK}")


@pytest.mark.slow
def test_every_foreign_file_is_there_with_its_hash(board: NamespaceBoard, tmp_path: Path, run: Run) -> None:
    def measures(count: int, code: int = 0) -> str:
        settings = "--set channels=16 --set cells=1 --set input=1x8x8"
        return run(f"profile --device pi --archs {count} {settings}", code)

    board.mount_disk(SMALL, kilobytes=3000)
    board.endpoint().write_profile(tmp_path / "home", "pi", directory="small/agent")
    board.endpoint().write_profile(tmp_path / "home", "wrong", directory="photos")
    board.shell(f"mkdir -p /home/board/photos/2024; echo cat > {PLACES[0]}; echo dog > {PLACES[1]}")
    board.shell("chown -R board /home/board/photos")
    assert "photos on" in run("agent install --device wrong", code=3)
    run("agent install --device pi")
    for place in PLACES[2:]:
        board.shell(f"mkdir -p {Path(place).parent}; echo {place} > {place}")
    board.shell(f"head -c 800000 /dev/urandom > {PLACES[6]}; ln -s /home/board/photos {LINK}")
    board.shell(f"head -c 500000 /dev/urandom > {SMALL}/fill; chown -R board {SMALL}")
    before = hashes(board)

    assert "measured 8" in measures(8)
    own = f"find {SMALL}/agent/artifacts -name '*.onnx' -type f | grep -E '/[0-9a-f]{{64}}.onnx$'"
    assert 0 < len(board.shell(own).split()) < 8, "networks of ours made room for others"
    assert hashes(board) == before

    board.shell(f"{own} | xargs rm; head -c 3000000 /dev/urandom > {SMALL}/fill-up || true")
    before = hashes(board)
    full = measures(12, code=3)
    assert re.search(r"the disk of board@.* is full: .* cannot be written; free some space there", full), full
    assert hashes(board) == before

    told = run("agent uninstall --device pi")
    assert "left there, not the agent's: " in told
    assert "nothing was removed" in run("agent uninstall --device wrong", code=3)
    assert hashes(board) == before
    left = board.shell(f"cd {SMALL}/agent; find . -type f -o -type l").split()
    assert sorted(left) == sorted(p.replace(f"{SMALL}/agent", ".") for p in (*PLACES[3:], LINK))
