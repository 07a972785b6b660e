"""Architectures to files that a runtime can execute."""

from harness.export.artifact import Artifact, ArtifactCache
from harness.export.onnx_graph import to_onnx
from modnas.core.errors import ExportError

__all__ = ["Artifact", "ArtifactCache", "ExportError", "to_onnx"]
