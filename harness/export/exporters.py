"""What each backend is given to run: the file, and what of its making changes the number that is measured."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import UsageError
from harness.core.home import subfolder
from harness.devices.profile import DeviceProfile
from harness.export.artifact import Artifact, ArtifactCache, graph_version
from harness.export.quantize import calibration, quantize
from harness.export.tvm.compiler import Compiler
from harness.export.tvm.errors import CompilerKilledError
from harness.store import content_key
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


class TvmExporter:
    """A library compiled by TVM, with the schedules that `modnas-hw tune` found where there are some.

    Raises:
        CompilerMissingError: on first use, when this machine has no TVM.
    """

    tolerance = OUTPUT_TOLERANCE

    def __init__(
        self, cache: ArtifactCache, profile: DeviceProfile, sibling: TvmExporter | None = None
    ) -> None:
        """`sibling`: an exporter whose compiler and tuning databases are used; it closes them."""
        self._cache, self._profile = cache, profile
        self._compiler: Compiler = sibling._compiler if sibling else Compiler()
        self._databases: dict[Path, Path | None] = sibling._databases if sibling else {}
        self._copies: tempfile.TemporaryDirectory[str] = (
            sibling._copies
            if sibling
            else tempfile.TemporaryDirectory(prefix="modnas-tuning-", ignore_cleanup_errors=True)
        )
        self._host: tuple[dict[str, Any], str] | None = None

    @property
    def compiler(self) -> Compiler:
        """The process that compiles."""
        return self._compiler

    @property
    def target(self) -> dict[str, Any]:
        """The target compiled for: the profile's, by default this machine's CPU by name."""
        chosen = self._profile.options.target
        if chosen is None and self._profile.transport != "local":
            raise UsageError(
                f"device {self._profile.name}: TVM compiles here and must be told its CPU; "
                "give options.target, e.g. {kind: llvm, mtriple: aarch64-linux-gnu, mcpu: cortex-a72}"
            )
        target = dict(chosen) if chosen is not None else dict(self._known_host()[0])
        return {**target, "num-cores": self._profile.options.threads}

    def key(self, source: ArchitectureSource) -> dict[str, Any]:
        return {
            "target": self.target,
            "compiler": self._known_host()[1],
            "tuning": database_hash(database) if (database := self._database(source)) else None,
            **graph_version(source),
        }

    def get(self, source: ArchitectureSource, architecture: Architecture, batch: int) -> Artifact:
        plain = self._cache.get(source, architecture, batch)
        parts, target, database = self.key(source), self.target, self._database(source)

        def build(path: Path, output: Path) -> Mapping[str, Any]:
            try:
                built = self._compiler.compile(path, output, target, database)
            except CompilerKilledError:  # once is bad luck, twice is the network's doing
                built = self._compiler.compile(path, output, target, database)
            return {**parts, **built}

        return self._cache.derived(plain, "so", parts, build)

    def into(self, cache: ArtifactCache) -> TvmExporter:
        return TvmExporter(cache, self._profile, self)

    def close(self) -> None:
        self._compiler.close()
        self._copies.cleanup()

    def _database(self, source: ArchitectureSource) -> Path | None:
        """The tuning database as it was when it was first asked for, None where there is none.

        A copy: `modnas-hw tune` may add to it while networks are compiled, and they say with which it was.
        """
        folder = tuning_folder(self._profile, source, self.target)
        if folder not in self._databases:
            copy = Path(self._copies.name, folder.name)
            self._databases[folder] = copy if copy_database(folder, copy) else None
        return self._databases[folder]

    def _known_host(self) -> tuple[dict[str, Any], str]:
        if self._host is None:
            self._host = self._compiler.host()
        return self._host


def open_exporter(profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
    """The exporter for a profile's backend and options. Raises UsageError for options it cannot honour."""
    if profile.options.quantize is not None and profile.backend != "onnxruntime":
        raise UsageError(
            f"device {profile.id}: quantize works with backend onnxruntime, not {profile.backend}"
        )
    if profile.backend == "tvm":
        return TvmExporter(cache, profile)
    if profile.options.quantize is not None:
        return Int8Exporter(cache)
    return PlainExporter(cache, "pt2" if profile.backend == "torch" else "onnx")


def tuning_folder(profile: DeviceProfile, source: ArchitectureSource, target: Mapping[str, Any]) -> Path:
    """Where the tuning database of a device, a source of architectures, and a target lies."""
    name = f"{profile.id}-{source.name}-{source.variant}-{content_key(target)[:12]}"
    return subfolder("tuning") / name


# MetaSchedule's, in the order in which they are copied: a record names a workload that was written before it.
_RECORDS, _WORKLOADS = "database_tuning_record.json", "database_workload.json"


def copy_database(folder: Path, target: Path) -> bool:
    """Copy the whole lines of a tuning database, which may be growing; whether there is one."""
    try:
        contents = {name: (folder / name).read_bytes() for name in (_RECORDS, _WORKLOADS)}
    except OSError:
        return False
    target.mkdir()
    for name, content in contents.items():
        (target / name).write_bytes(content[: content.rfind(b"\n") + 1])
    return True


def database_hash(folder: Path) -> str:
    """What identifies a tuning database's content."""
    return hashlib.sha256((folder / _RECORDS).read_bytes()).hexdigest()[:16]
