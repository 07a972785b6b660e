"""Tensors on disk: safetensors files with a JSON document in the header, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from harness.core.errors import ModnasHwError
from harness.core.home import write_atomically
from modnas.core.bounded import check_file

_LARGEST = 1 << 33  # bytes; supernetworks have some hundred million


class TensorFileError(ModnasHwError):
    """A tensor file that is missing or damaged."""

    code = "tensor-file"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Any) -> None:
    """Write tensors and a JSON-able document as one file, so that the two never disagree."""
    header = {"meta": json.dumps(meta, allow_nan=False)}
    write_atomically(path, save(dict(tensors), metadata=header))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read what `save_tensors` wrote. Raises TensorFileError, TooLargeError."""
    try:
        check_file(path, _LARGEST)
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["meta"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except FileNotFoundError as error:
        raise TensorFileError(f"{path} is missing") from error
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        raise TensorFileError(f"{path} is damaged ({error}); delete it and make it again") from error
