"""Architectures to files that a runtime can execute."""

from harness.export.artifact import Artifact, ArtifactCache
from harness.export.onnx_graph import ExportError, to_onnx

__all__ = ["Artifact", "ArtifactCache", "ExportError", "to_onnx"]
