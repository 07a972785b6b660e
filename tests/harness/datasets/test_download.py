"""Downloading one file, and reading files that are not trusted."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fetch_upstream import Upstream

from harness.datasets.convert import ConversionError
from harness.datasets.convert.files import indexed_column, load_torch, torch_column
from harness.datasets.download import DownloadError, Patience, download

# One file.


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_whole_file(upstream: Upstream, tmp_path: Path, size: int) -> None:
    upstream.files["/f"] = os.urandom(size)
    digest = hashlib.sha256(upstream.files["/f"]).hexdigest()
    assert download(f"{upstream.url}/f", tmp_path / "a" / "f", digest) == digest
    assert (tmp_path / "a" / "f").read_bytes() == upstream.files["/f"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["f"], "nothing else is left"


def test_cut_connections_are_continued(upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/f"] = os.urandom(100_000)
    upstream.faults["/f"] = ["cut", 503, "cut"]
    download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01)
    assert (tmp_path / "f").read_bytes() == upstream.files["/f"]
    ranges = [asked for _, asked in upstream.requests]
    assert ranges == [None, "bytes=50000-", "bytes=50000-", "bytes=75000-"]


def test_next_call_continues_an_interrupted_one(upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/f"] = os.urandom(64_000)
    upstream.faults["/f"] = ["cut"] * 4
    with pytest.raises(DownloadError, match=r"ended after 60000 of 64000 bytes.*same command continues"):
        download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01)
    assert not (tmp_path / "f").exists()
    download(f"{upstream.url}/f", tmp_path / "f")
    assert upstream.requests[-1][1] == "bytes=60000-"
    assert (tmp_path / "f").read_bytes() == upstream.files["/f"]


def test_whole_part_is_not_fetched_again(upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/f"] = b"content"
    (tmp_path / "f.part").write_bytes(b"content")
    download(f"{upstream.url}/f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"content"
    (tmp_path / "f.part").write_bytes(b"longer than the file")
    download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01)
    assert (tmp_path / "f").read_bytes() == b"content"


def test_end_of_another_version_is_not_added(upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/f"], upstream.faults["/f"] = b"old" * 1000, ["cut"] * 4
    with pytest.raises(DownloadError):
        download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01)
    upstream.files["/f"] = b"new" * 1000
    download(f"{upstream.url}/f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"new" * 1000


def test_altered_file_is_not_kept(upstream: Upstream, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    upstream.files["/f"] = b"wrong"
    with pytest.raises(DownloadError, match=f"expected {digest}"):
        download(f"{upstream.url}/f", tmp_path / "f", digest)
    assert list(tmp_path.iterdir()) == []
    upstream.files["/f"] = b"right"
    assert download(f"{upstream.url}/f", tmp_path / "f", digest) == digest


def test_missing_file_and_no_server(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/f cannot be had: .* 404"):
        download(f"{upstream.url}/f", tmp_path / "f")
    assert len(upstream.requests) == 1, "asking again would not help"
    upstream.close()
    with pytest.raises(DownloadError, match="the connection failed"):
        download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01)


@pytest.mark.parametrize("fault", ["silent", "dripping", "dripping headers"])
def test_a_server_that_stalls(upstream: Upstream, tmp_path: Path, fault: str) -> None:
    upstream.files["/f"] = os.urandom(200_000)
    upstream.faults["/f"] = [fault]
    began = time.monotonic()
    download(f"{upstream.url}/f", tmp_path / "f", wait_s=0.01, patience=Patience(60, 0.5))
    assert time.monotonic() - began < 10
    assert (tmp_path / "f").read_bytes() == upstream.files["/f"], "another connection gets it"

    upstream.faults["/g"], upstream.files["/g"] = [fault] * 4, upstream.files["/f"]
    with pytest.raises(DownloadError, match="same command continues"):
        download(f"{upstream.url}/g", tmp_path / "g", wait_s=0.01, patience=Patience(60, 0.3))
    assert time.monotonic() - began < 20
    download(f"{upstream.url}/g", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == upstream.files["/g"], "nothing was written later"


@pytest.mark.slow
def test_a_slow_server_does_not_stall_but_the_time_ends(upstream: Upstream, tmp_path: Path) -> None:
    upstream.files["/f"] = os.urandom(600_000)
    upstream.faults["/f"] = ["slow"]  # about two seconds
    download(f"{upstream.url}/f", tmp_path / "f", patience=Patience(60, 0.5))
    assert len(upstream.requests) == 1
    upstream.files["/g"], upstream.faults["/g"] = os.urandom(6_000_000), ["slow"] * 4
    began, patience = time.monotonic(), Patience(1, 0.5)
    with pytest.raises(DownloadError, match=r"/g: .*in 1 s; the same command continues"):
        download(f"{upstream.url}/g", tmp_path / "g", patience=patience)
    with pytest.raises(DownloadError, match="in 1 s"):  # the time is that of all files
        download(f"{upstream.url}/g", tmp_path / "g", patience=patience)
    assert time.monotonic() - began < 5
    upstream.faults["/g"] = []
    download(f"{upstream.url}/g", tmp_path / "g")
    assert upstream.requests[-1][1] is not None, "what came is kept"
    assert (tmp_path / "g").read_bytes() == upstream.files["/g"]


# Reading what came.


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_nothing_of_a_torch_file_is_executed(tmp_path: Path) -> None:
    path, mark = tmp_path / "f.pt", tmp_path / "executed"
    torch.save([Bomb(mark)], path)
    with pytest.raises(ConversionError, match=r"f\.pt"):
        load_torch(path)
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ConversionError, match=r"f\.pt"):
        load_torch(path)
    assert not mark.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [list, torch.tensor, np.array, lambda v: np.array(v, np.float32)])
def test_columns_of_numbers(tmp_path: Path, kind: Any, legacy: bool) -> None:
    torch.save(kind([1.5, 2.5]), tmp_path / "f.pt", _use_new_zipfile_serialization=not legacy)
    assert torch_column(tmp_path / "f.pt", 2).tolist() == [1.5, 2.5]
    with pytest.raises(ConversionError, match="has not 3 positive numbers"):
        torch_column(tmp_path / "f.pt", 3)


@pytest.mark.parametrize("content", [[1.0, -1.0], [1.0, float("nan")], ["a", "b"], {"a": 1}, 3.0, None])
def test_no_columns_of_numbers(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "f.pt")
    with pytest.raises(ConversionError, match=r"f\.pt"):
        torch_column(tmp_path / "f.pt", 2)


@pytest.mark.parametrize(
    "text", ["", "i,v\n0,1\n", "i,v\n0,1\n0,2\n", "i,v\n0,1\n1,x\n", "i,v\n0,1\n1\n", "\0"]
)
def test_no_indexed_columns(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(ConversionError, match=r"f\.csv"):
        indexed_column(tmp_path / "f.csv", 2)
    (tmp_path / "f.csv").write_text("i,v,more\n1,-inf,0\n0,2,0\n")
    assert indexed_column(tmp_path / "f.csv", 2).tolist() == [2.0, -np.inf]
