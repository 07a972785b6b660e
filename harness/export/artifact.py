"""Exported networks on disk, content-addressed, each with the output it must reproduce on the device."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.core.home import has_sha256, read_kept, subfolder, write_atomically
from harness.export.build import build, one_thread, run
from harness.export.model_file import read_model
from harness.export.onnx_graph import to_onnx
from harness.export.probe import from_document, probe, to_document
from harness.export.torch_program import to_program
from harness.store import content_key
from modnas.core.inputs import InputSpec
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture

# Part of every cache key: raise it when the same architecture exports to a different file.
EXPORTER_VERSION = 5
CACHE_LIMIT_BYTES = 4 << 30
_DESCRIPTION = re.compile(r"[0-9a-f]{64}\.json")
_NETWORK = re.compile(r"[0-9a-f]{64}\.(?!json$)[A-Za-z0-9.]+")


@dataclass(frozen=True)
class Artifact:
    """One network as a file.

    `inputs`: their shapes with the batch dimension. `expected`: PyTorch's output for them as
    `modnas_agent.wire.fill` makes them, flattened; an ONNX file's own is ONNX Runtime's.
    `details`: what making the file left to tell, JSON-able (a compiler's log, its time).
    """

    path: Path
    sha256: str
    inputs: tuple[InputSpec, ...]
    expected: tuple[float, ...]
    export_s: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def is_whole(self) -> bool:
        """Whether the file is there, with the content that it was made with."""
        return has_sha256(self.path, self.sha256)


# The number of threads and the random state are the process's: two exports at once would spoil each other's.
_exporting = threading.Lock()


def _onnx(
    source: ArchitectureSource, module: nn.Module, inputs: Sequence[InputSpec], output: Tensor
) -> bytes:
    if source.writer is not None:
        return source.writer.timed(module, inputs)
    content: bytes = to_onnx(module, inputs, tuple(output.shape)).SerializeToString()
    return content


def _program(
    _source: ArchitectureSource, module: nn.Module, inputs: Sequence[InputSpec], _output: Tensor
) -> bytes:
    return to_program(module, *probe(inputs))


# Form of an exported network, which is also the suffix of its file -> writer.
FORMS: dict[str, Callable[[ArchitectureSource, nn.Module, Sequence[InputSpec], Tensor], bytes]] = {
    "onnx": _onnx,
    "pt2": _program,
}


def graph_version(source: ArchitectureSource) -> dict[str, Any]:
    """What identifies the graphs of a source with a writer of its own; nothing where it has none."""
    return {} if source.writer is None else {"writer": source.writer.version}


def _inputs(description: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    """The inputs in an export's description; older ones had one, `input`, of float32."""
    if "inputs" not in description:
        return (InputSpec("input", tuple(description["input_shape"])),)
    return tuple(from_document(document) for document in description["inputs"])


class ArtifactCache:
    """Exports on demand into a folder: `<key>.json` describes an export, `<sha256>.<form>` is its content."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or subfolder("artifacts")

    def get(
        self, source: ArchitectureSource, architecture: Architecture, batch: int, *, form: str = "onnx"
    ) -> Artifact:
        """The artifact for an architecture, exported if it is not there yet.

        Args:
            form: one of `FORMS`.

        Raises:
            ExportError: the network cannot be written in this form.
        """
        inputs = tuple(spec.batched(batch) for spec in source.inputs(architecture))
        parts = {
            "arch": architecture.id,
            "variant": source.variant,
            "batch": batch,
            "weights": "initial",
            "form": form,
            "exporter": EXPORTER_VERSION,
            **graph_version(source),
        }
        with _exporting, one_thread():
            return self._load(content_key(parts)) or self._export(
                content_key(parts), source, architecture, inputs, form
            )

    def derived(
        self,
        source: Artifact,
        suffix: str,
        parts: Mapping[str, Any],
        make: Callable[[Path, Path], Mapping[str, Any]],
    ) -> Artifact:
        """A file made from an artifact that computes the same function, e.g. a compiled one.

        Args:
            suffix: of the file made.
            parts: JSON-able; everything but the source that the result depends on.
            make: writes the file; given the source's path and the path to write, returns the details.

        Raises:
            ModnasHwError: whatever `make` raises.
        """
        key = content_key({"source": source.sha256, "suffix": suffix, **parts})
        found = self._load(key)
        if found is not None:
            return found
        start = time.perf_counter()
        partial = self.folder / f".{key}.{os.getpid()}-{threading.get_native_id()}.{suffix}"
        try:
            details = dict(make(source.path, partial))
            data = partial.read_bytes()
        finally:
            partial.unlink(missing_ok=True)
        export_s = source.export_s + time.perf_counter() - start
        return self._keep(
            key,
            data,
            suffix,
            inputs=source.inputs,
            expected=source.expected,
            export_s=export_s,
            details=details,
        )

    def _load(self, key: str) -> Artifact | None:
        try:
            content = json.loads(read_kept(self.folder / f"{key}.json"))
            path = self.folder / content["file"]
            os.utime(path)  # fails where it was pruned: the description alone is worthless
            sha256 = path.name.partition(".")[0]  # a suffix may have several parts
            if not has_sha256(path, sha256):
                return None  # damaged
            return Artifact(
                path, sha256, _inputs(content), tuple(content["expected"]), 0.0, content["details"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _export(
        self,
        key: str,
        source: ArchitectureSource,
        architecture: Architecture,
        inputs: tuple[InputSpec, ...],
        form: str,
    ) -> Artifact:
        module = build(source, architecture)
        start = time.perf_counter()
        if isinstance(module, Path):
            data, output = read_model(module, inputs, form)
        else:
            output = run(module, inputs)
            data = FORMS[form](source, module, inputs, output)
        expected = tuple(float(v) for v in output.flatten())
        export_s = time.perf_counter() - start
        return self._keep(key, data, form, inputs=inputs, expected=expected, export_s=export_s, details={})

    def _keep(
        self,
        key: str,
        data: bytes,
        suffix: str,
        *,
        inputs: tuple[InputSpec, ...],
        expected: tuple[float, ...],
        export_s: float,
        details: Mapping[str, Any],
    ) -> Artifact:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{sha256}.{suffix}"
        if not has_sha256(path, sha256):
            write_atomically(path, data, durable=False)
        description = {
            "file": path.name,
            "inputs": [to_document(spec) for spec in inputs],
            "expected": list(expected),
            "details": details,
        }
        # No power cut can do harm here: what is damaged is found so when it is loaded, and made again.
        write_atomically(self.folder / f"{key}.json", json.dumps(description), durable=False)
        return Artifact(path, sha256, inputs, expected, export_s, details)

    def prune(self, limit_bytes: int = CACHE_LIMIT_BYTES) -> int:
        """Delete the least recently used networks until the rest fit; number deleted.

        Only files that an export's description names count and are deleted: whatever else lies in the folder
        is somebody else's.
        """
        found = {}
        for path in self.folder.iterdir():
            if _NETWORK.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):  # another process prunes too
                    found[path] = path.lstat()
        if sum(info.st_size for info in found.values()) <= limit_bytes:
            return 0
        described = self._described()
        own = {p: i for p, i in found.items() if p.name in described and stat.S_ISREG(i.st_mode)}
        total = sum(info.st_size for info in own.values())
        deleted = 0
        for path, info in sorted(own.items(), key=lambda item: item[1].st_mtime):
            if total <= limit_bytes:
                break
            total -= info.st_size
            path.unlink(missing_ok=True)
            deleted += 1
        return deleted

    def _described(self) -> set[str]:
        """Names of the files that exports of this cache were written to."""
        names = set()
        for path in self.folder.iterdir():
            if _DESCRIPTION.fullmatch(path.name):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    names.add(str(json.loads(read_kept(path))["file"]))
        return names
