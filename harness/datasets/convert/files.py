"""Reading what was downloaded, none of it trusted, and writing the files of the layout."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.core.errors import ModnasHwError
from modnas.core.bounded import TooLargeError, check_file, check_torch_file

# What plain numeric arrays are made of, under the names that NumPy 1 and 2 write.
_MULTIARRAY = np.zeros(0).__reduce__()[0]
_ARRAYS: list[Any] = [
    *((_MULTIARRAY, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)),
]

# Bytes of a source, unpacked; the largest has a megabyte.
_LARGEST = 1 << 26


class ConversionError(ModnasHwError):
    """A downloaded file that is damaged, or not what it should be."""

    code = "conversion"


@cache
def reference() -> dict[str, Any]:
    """Published facts that lie in no file: splits, protocols, spaces, coefficients; by benchmark."""
    content: dict[str, Any] = json.loads(
        files("harness.datasets").joinpath("facts.json").read_text(encoding="utf-8")
    )
    return content


def load_torch(path: Path) -> Any:
    """A file of torch.save: tensors, arrays, numbers, text, lists and mappings; anything else is refused.

    Nothing of it is executed. Raises ConversionError.
    """
    try:
        check_torch_file(path, _LARGEST)
        with torch.serialization.safe_globals(_ARRAYS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual files: what cannot be read is an error below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        reason = " ".join(str(error).split())[:120]
        raise ConversionError(f"{path.name} is no torch file of plain values ({reason})") from error


def torch_column(path: Path, length: int) -> NDArray[np.float32]:
    """One positive finite number an architecture, from a list or a tensor. Raises ConversionError."""
    content = load_torch(path)
    try:
        values = np.asarray(torch.as_tensor(content).to(torch.float64)).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConversionError(f"{path.name} is no list of numbers") from error
    if values.shape != (length,) or not (np.isfinite(values).all() and (values > 0).all()):
        raise ConversionError(f"{path.name} has not {length} positive numbers")
    return values.astype(np.float32)


def indexed_column(path: Path, length: int) -> NDArray[np.float32]:
    """Second column of a CSV file whose first is the index, in the order of the index.

    Raises ConversionError unless each index from 0 to `length` - 1 occurs once.
    """
    rows = read_csv(path)
    try:
        values = {int(row[0]): float(row[1]) for row in rows[1:]}
    except (IndexError, ValueError) as error:
        raise ConversionError(f"{path.name} is no table of index and value: {error}") from error
    if len(rows) != length + 1 or sorted(values) != list(range(length)):
        raise ConversionError(f"{path.name} has not one value for each index up to {length - 1}")
    return np.array([values[i] for i in range(length)], dtype=np.float32)


def read_csv(path: Path) -> list[list[str]]:
    """All rows but empty ones. Raises ConversionError."""
    try:
        check_file(path, _LARGEST)
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.reader(file, strict=True, skipinitialspace=True) if row]
    except (OSError, UnicodeDecodeError, TooLargeError, csv.Error) as error:
        raise ConversionError(f"{path.name} is no CSV file: {error}") from error


def csv_gz(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Content of a `.csv.gz` file, the same for the same rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Content of an `.npz` file without pickled objects."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def json_file(content: Any) -> bytes:
    """Content of a JSON file."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
