"""ONNX files of others that are too large to be any."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.export.model_file import read_model
from modnas.core.errors import ExportError


@pytest.mark.parametrize("gb", [2, 1000])
def test_files_that_are_too_large_are_not_read(tmp_path: Path, gb: int) -> None:
    with (tmp_path / "f.onnx").open("wb") as file:
        file.truncate(gb << 30)  # takes no place on the disk
    with pytest.raises(ExportError, match=r"f\.onnx"):
        read_model(tmp_path / "f.onnx", [], "onnx")
