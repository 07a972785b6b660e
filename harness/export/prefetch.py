"""Files of many architectures, the next one made while a board measures the last."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from harness.core.errors import needed
from harness.export.artifact import Artifact
from harness.export.exporters import Exporter
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture


class Prefetcher:
    """An exporter's files in the order they will be needed. Use as a context manager.

    Args:
        order: architectures in the order they will be asked for; others may be asked for in between.
        batch: of the files.
        parallel: make the next file in the background as soon as one was handed out. Not for a device that
            is this machine: there it would disturb what is being measured.

    Attributes:
        tolerance: of the exporter.
        made_with: what of the files' making identifies a measurement (see `Exporter.key`).
    """

    def __init__(
        self,
        exporter: Exporter,
        source: ArchitectureSource,
        batch: int,
        order: Sequence[Architecture],
        *,
        parallel: bool,
    ) -> None:
        self.tolerance, self.made_with = exporter.tolerance, exporter.key(source)
        self._exporter, self._source, self._batch = exporter, source, batch
        self._following = dict(itertools.pairwise(order))
        # One thread for all files: exporters need not stand two callers.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="export") if parallel else None
        self._made: dict[Architecture, Future[Artifact]] = {}

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def get(self, architecture: Architecture) -> Artifact:
        """The file for an architecture.

        Raises:
            ExportError, CompileError: it may be the network's fault.
            DeviceUnavailableError: it is this machine's.
        """
        if self._pool is None:
            return self._make(architecture)
        made = self._made.pop(architecture, None) or self._pool.submit(self._make, architecture)
        try:
            return made.result()
        finally:
            following = self._following.get(architecture)
            if following is not None and following not in self._made:
                self._made[following] = self._pool.submit(self._make, following)

    def run(self, make: Callable[[Exporter], Artifact]) -> Artifact:
        """Another file by the same exporter, when the one under way is finished. Raises as `get` does."""
        if self._pool is None:
            return self._guarded(make)
        return self._pool.submit(self._guarded, make).result()

    def _make(self, architecture: Architecture) -> Artifact:
        return self._guarded(lambda exporter: exporter.get(self._source, architecture, self._batch))

    def _guarded(self, make: Callable[[Exporter], Artifact]) -> Artifact:
        with needed("make a network's file"):
            return make(self._exporter)
