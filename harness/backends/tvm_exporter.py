"""What TVM is given to run: a library, compiled with the schedules that were found for the device."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.home import subfolder
from harness.devices.profile import DeviceProfile
from harness.devices.targets import Target
from harness.export.artifact import Artifact, ArtifactCache, graph_version
from harness.export.exporters import OUTPUT_TOLERANCE
from harness.export.tvm.compiler import Compiler
from harness.export.tvm.errors import CompilerKilledError
from harness.store import content_key
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture


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
        options = self._profile.options
        chosen: Target | None = options.model_dump()["target"]
        if chosen is None and self._profile.transport != "local":
            raise UsageError(
                f"device {self._profile.name}: TVM compiles here and must be told its CPU; "
                "give options.target, e.g. {kind: llvm, mtriple: aarch64-linux-gnu, mcpu: cortex-a72}"
            )
        target = dict(chosen) if chosen is not None else dict(self._known_host()[0])
        return {**target, "num-cores": options.threads}

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
