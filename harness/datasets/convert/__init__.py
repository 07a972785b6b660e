"""Converters from the published files into the layout that the readers read, one module a benchmark."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.datasets.convert import hat, nasbench201, ofa
from harness.datasets.convert.files import ConversionError

# Arguments: where the file of a source path lies, and all source paths. Result: content by file name.
Converter = Callable[[Callable[[str], Path], Sequence[str]], dict[str, bytes]]

CONVERTERS: dict[str, Converter] = {
    "nasbench201": nasbench201.convert,
    "ofa": ofa.convert,
    "hat": hat.convert,
}

__all__ = ["CONVERTERS", "ConversionError", "Converter"]
