"""What `--archs` may name."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_sources import Models
from torch import nn

from harness.core.errors import UsageError
from harness.measure.arch_lists import select_architectures
from modnas.core.inputs import InputSpec
from modnas.spaces import Space


def test_references_numbers_and_all(space: Space) -> None:
    assert select_architectures("reference", space) == list(space.references)
    drawn = select_architectures("7", space, seed=3)
    assert len(set(drawn)) == 7 and all(map(space.is_usable, drawn))
    assert drawn == select_architectures("7", space, seed=3) != select_architectures("7", space, seed=4)
    assert len(set(select_architectures("all", space))) == 15625


def test_file_with_prefixes_and_blank_lines(tmp_path: Path, space: Space) -> None:
    first, second = space.references[:2]
    path = tmp_path / "cells.txt"
    path.write_text(f"\n{first.id}\n  {second.string}  \n\n{first.string}\n")
    assert select_architectures(str(path), space) == [first, second, first]


@pytest.mark.parametrize("bad", ["|none~0|", "other:x", "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|"])
def test_bad_line_is_named(tmp_path: Path, space: Space, bad: str) -> None:
    path = tmp_path / "cells.txt"
    path.write_text(f"{space.references[0].string}\n\n{bad}\n")
    with pytest.raises(UsageError) as caught:
        select_architectures(str(path), space)
    assert f"{path}, line 3" in str(caught.value) and bad in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n  \n", b"\xff\xfe\x00"])
def test_file_without_architectures(tmp_path: Path, space: Space, content: bytes) -> None:
    path = tmp_path / "cells.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cells\.txt"):
        select_architectures(str(path), space)


@pytest.mark.parametrize("text", ["0", "", ".", "-3", "1.5", "no-such-file", "²", "nul\0", "x" * 5000])
def test_what_is_neither_number_nor_file(space: Space, text: str) -> None:
    with pytest.raises(UsageError, match="--archs"):
        select_architectures(text, space)


def test_models_of_ones_own(tmp_path: Path) -> None:
    source = Models({name: nn.Sequential() for name in "abcd"}, InputSpec("input", (3,)))
    assert "".join(one.string for one in select_architectures("all", source)) == "abcd"
    drawn = select_architectures("3", source, seed=1)
    assert len({*drawn}) == 3 and drawn == select_architectures("3", source, seed=1)
    path = tmp_path / "models.txt"
    path.write_text("c\nmine:a\n")
    assert [one.string for one in select_architectures(str(path), source)] == ["c", "a"]
    for text in ("reference", "5", "0"):
        with pytest.raises(UsageError):
            select_architectures(text, source)
    path.write_text("e\n")
    with pytest.raises(UsageError, match="line 1"):
        select_architectures(str(path), source)
