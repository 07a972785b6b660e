"""Tables in compressed files: what is in them, and those that unpack to gigabytes."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bombs import MB, gzip_bomb, npz_bomb
from harness_helpers import assert_one_line
from memory import taken_mb

from harness.cli import main
from harness.datasets import hat, nasbench201, ofa
from harness.datasets.convert import ConversionError
from harness.datasets.convert.files import load_torch, read_csv
from harness.datasets.packed import LARGEST_TABLE, read_csv_gz, read_npz
from harness.datasets.training_sets import load_dataset
from harness.datasets.value_files import read_values
from modnas.core.bounded import TooLargeError
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
ARRAYS = {
    "a": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "text": np.array(["x", "long"]),
    "one": np.array("nasbench201"),
    "empty": np.zeros((0, 5), np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_were_saved(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "f.npz", **ARRAYS)
    found = read_npz(tmp_path / "f.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def test_rows_are_those_that_were_written(tmp_path: Path) -> None:
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(b'a,b\n1,"x\ny"\n2,z\n'))
    assert read_csv_gz(tmp_path / "f.csv.gz") == [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]


@pytest.mark.parametrize("shape", [(1 << 33,), (1 << 62, 4), (-1,), (0, 1 << 60, -1)])
def test_an_array_that_says_more_than_it_has(tmp_path: Path, shape: tuple[int, ...]) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("a.npy", content.getvalue() + bytes(100))
    error, grown = taken_mb(lambda: read_npz(tmp_path / "f.npz"))
    assert isinstance(error, (TooLargeError, ValueError)) and grown < 20


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickled"):
        read_npz(tmp_path / "f.npz")


def put(name: str, bomb: Callable[..., Path]) -> Callable[[Path], Any]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        bomb(folder / name, 3584)

    return write


BOMBS = {
    "a column of cells": ("nb201", put("nb201/archs.csv.gz", gzip_bomb), nasbench201.load),
    "their latencies": ("nb201", put("nb201/latency.npz", npz_bomb), nasbench201.load),
    "networks of once-for-all": ("ofa", put("ofa/archs_latency.npz", npz_bomb), ofa.load),
    "a table of HAT": ("hat", put("hat/wmt14ende_cpu_xeon.csv.gz", gzip_bomb), hat.load),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_published_tables_that_are_bombs(data_dir: Path, tmp_path: Path, bomb: str) -> None:
    folder, write, load = BOMBS[bomb]
    (tmp_path / folder).mkdir()
    for path in (data_dir / folder).iterdir():
        (tmp_path / folder / path.name).symlink_to(path)
    write(tmp_path)
    error, grown = taken_mb(lambda: load(tmp_path))
    assert isinstance(error, TooLargeError) and error.exit_code == 2
    assert "\n" not in str(error) and str(tmp_path / folder) in str(error) and grown < 100


def test_other_bombs(tmp_path: Path) -> None:
    path = npz_bomb(tmp_path / "set.npz", 3584)
    error, grown = taken_mb(lambda: load_dataset(path, SPACE))
    assert isinstance(error, TooLargeError) and grown < 20
    error, grown = taken_mb(lambda: load_torch(path))
    assert isinstance(error, ConversionError) and grown < 20
    with (tmp_path / "f.csv").open("wb") as file:
        file.truncate(3584 * MB)
    for read, kind in ((lambda p: read_values(p, SPACE), TooLargeError), (read_csv, ConversionError)):
        error, grown = taken_mb(lambda read=read: read(tmp_path / "f.csv"))
        assert isinstance(error, kind) and grown < 20


def test_the_command_ends_with_one_line(
    data_dir: Path, home_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nb201").mkdir()
    for path in (data_dir / "nb201").iterdir():
        (tmp_path / "nb201" / path.name).symlink_to(path)
    put("nb201/latency.npz", npz_bomb)(tmp_path)
    assert main(["dataset", "import", "nasbench201", "--from", str(tmp_path), "--json"]) == 2
    told = capsys.readouterr()
    assert_one_line(told.err)
    error = json.loads(told.out)["error"]
    assert error["code"] == "too-large"
    size, limit = f"{3584 * MB + 128:,}", f"{LARGEST_TABLE:,}"
    assert all(part in error["message"] for part in (str(tmp_path / "nb201" / "latency.npz"), size, limit))


def test_many_rows(tmp_path: Path) -> None:
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(b"1\n" * (8 * MB - 1)))
    error, grown = taken_mb(lambda: read_csv_gz(tmp_path / "f.csv.gz"))
    assert isinstance(error, TooLargeError) and grown < 150
