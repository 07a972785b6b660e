"""What each backend is given to run: the file, and what of its making changes the number that is measured."""

from __future__ import annotations

from typing import Any, Protocol

from harness.export.artifact import Artifact, ArtifactCache, graph_version
from harness.export.quantize import calibration, quantize
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture

# Largest difference from PyTorch's output, relative to the largest expected value (at least 1).
OUTPUT_TOLERANCE = 1e-3
# Quantised networks differ by design: the difference is reported, not judged.
ANY_OUTPUT = 1e6


class Exporter(Protocol):
    """Makes files for one device."""

    tolerance: float

    def key(self, source: ArchitectureSource) -> dict[str, Any]:
        """What besides the runtime's options identifies a measurement of networks of `source`, JSON-able."""

    def get(self, source: ArchitectureSource, architecture: Architecture, batch: int) -> Artifact:
        """The file for an architecture. Raises ExportError or CompileError."""

    def into(self, cache: ArtifactCache) -> Exporter:
        """The same, with the files of another cache; not to be closed."""

    def close(self) -> None:
        """End what it started."""


class PlainExporter:
    """A network as PyTorch has it, in one of the forms of `ArtifactCache`."""

    tolerance = OUTPUT_TOLERANCE

    def __init__(self, cache: ArtifactCache, form: str) -> None:
        self._cache, self._form = cache, form

    def key(self, source: ArchitectureSource) -> dict[str, Any]:
        return graph_version(source)

    def get(self, source: ArchitectureSource, architecture: Architecture, batch: int) -> Artifact:
        return self._cache.get(source, architecture, batch, form=self._form)

    def into(self, cache: ArtifactCache) -> PlainExporter:
        return PlainExporter(cache, self._form)

    def close(self) -> None:
        return


class Int8Exporter:
    """ONNX quantised to 8 bits, calibrated on images of a task."""

    tolerance = ANY_OUTPUT

    def __init__(self, cache: ArtifactCache) -> None:
        self._cache = cache

    def key(self, source: ArchitectureSource) -> dict[str, Any]:
        used = calibration(source.inputs(source.anchor))
        return {"quantize": "int8", "calibration": used, **graph_version(source)}

    def get(self, source: ArchitectureSource, architecture: Architecture, batch: int) -> Artifact:
        plain = self._cache.get(source, architecture, batch)
        return self._cache.derived(
            plain, "int8.onnx", self.key(source), lambda path, output: quantize(path, output, plain.inputs)
        )

    def into(self, cache: ArtifactCache) -> Int8Exporter:
        return Int8Exporter(cache)

    def close(self) -> None:
        return
