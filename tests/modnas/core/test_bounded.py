"""Compressed files are read within limits, whatever they say of themselves."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest
import torch
from bombs import MB, gzip_bomb, npz_bomb
from memory import taken_mb

from modnas.core.bounded import TooLargeError, check_file, check_torch_file, gunzip, open_zip


def test_what_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"abc") + gzip.compress(b"def"))
    assert gunzip(path, path.stat().st_size) == b"abcdef"
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(700))
        archive.writestr("b", bytes(300))
    with open_zip(tmp_path / "f.zip", 1000) as archive:
        assert [len(archive.read(name)) for name in archive.namelist()] == [700, 300]
    with pytest.raises(TooLargeError), open_zip(tmp_path / "f.zip", 999):
        pass


def test_gzip_bombs(tmp_path: Path) -> None:
    path = gzip_bomb(tmp_path / "f.gz", 3584)
    assert path.stat().st_size < 5 * MB
    error, grown = taken_mb(lambda: gunzip(path, 16 * MB))
    assert isinstance(error, TooLargeError) and str(path) in str(error) and grown < 60


def test_zip_bombs(tmp_path: Path) -> None:
    path = npz_bomb(tmp_path / "f.npz", 3584)
    assert path.stat().st_size < 5 * MB
    error, grown = taken_mb(lambda: read_all(path))
    assert isinstance(error, TooLargeError) and str(path) in str(error) and grown < 20


def test_a_zip_gives_no_more_than_it_says(tmp_path: Path) -> None:
    error, grown = taken_mb(lambda: read_all(npz_bomb(tmp_path / "f.npz", 3584, said_bytes=2 * MB)))
    assert isinstance(error, zipfile.BadZipFile) and grown < 40


def test_zips_of_many_members_and_other_packings(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}", b"")
    with pytest.raises(zipfile.BadZipFile):
        read_all(tmp_path / "many.zip")
    with zipfile.ZipFile(tmp_path / "bz2.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", bytes(1000))
    with pytest.raises(zipfile.BadZipFile):
        read_all(tmp_path / "bz2.zip")


def read_all(path: Path) -> list[bytes]:
    with open_zip(path, 16 * MB) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_large_files_and_no_files(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(TooLargeError):
        check_file(tmp_path / "sparse", 1 << 30)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="no file"):
            check_file(other, 1 << 30)


def test_torch_files(tmp_path: Path) -> None:
    for legacy in (False, True):
        torch.save(torch.zeros(1000), tmp_path / "f.pt", _use_new_zipfile_serialization=not legacy)
        check_torch_file(tmp_path / "f.pt", 10_000)
        with pytest.raises(TooLargeError):
            check_torch_file(tmp_path / "f.pt", 3000)
    with pytest.raises(TooLargeError):
        check_torch_file(npz_bomb(tmp_path / "f.pt", 128), 100 * MB)
