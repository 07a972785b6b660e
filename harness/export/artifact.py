"""Exported networks on disk, content-addressed, each with the output it must reproduce on the device."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from modnas_agent.wire.fill import fill_values
from torch import Tensor, nn

from harness.core.home import has_sha256, subfolder, write_atomically
from harness.export.onnx_graph import ExportError, to_onnx
from harness.export.torch_program import to_program
from harness.export.transformer_graphs import timed_onnx
from harness.store import content_key
from modnas.spaces import Architecture, Space
from modnas.spaces.transformer.decoding import TimedTranslation

# Part of every cache key: raise it when the same architecture exports to a different file.
EXPORTER_VERSION = 5
CACHE_LIMIT_BYTES = 4 << 30
_DESCRIPTION = re.compile(r"[0-9a-f]{64}\.json")
_NETWORK = re.compile(r"[0-9a-f]{64}\.(?!json$)[A-Za-z0-9.]+")


@dataclass(frozen=True)
class Artifact:
    """One network as a file.

    `expected`: PyTorch's output, flattened, for the input that `modnas_agent.wire.fill.fill_values` makes.
    `details`: what making the file left to tell, JSON-able (a compiler's log, its time).
    """

    path: Path
    sha256: str
    input_shape: tuple[int, ...]
    expected: tuple[float, ...]
    export_s: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def is_whole(self) -> bool:
        """Whether the file is there, with the content that it was made with."""
        return has_sha256(self.path, self.sha256)


def probe_input(shape: tuple[int, ...]) -> Tensor:
    """The input on which a device's output is compared with PyTorch's."""
    values: Any = fill_values(int(np.prod(shape)))
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).reshape(shape)


# The number of threads and the random state are the process's: two exports at once would spoil each other's.
_exporting = threading.Lock()


# Inputs that an untrained network's statistics are from. Of a small image the last layers see one pixel,
# so that two images would leave them two values. Of fewer than eight the variance may be next to nothing by
# chance, and dividing by it multiplies rounding errors beyond what a comparison of outputs allows.
_FEW_INPUTS, _SEVERAL_INPUTS, _SMALL_INPUT = 2, 4, 96**2
_FEWEST_VALUES = 8


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: a sum's last bits depend on their number, and a file's hash on its bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _settle(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Give an untrained network the normalisation statistics of inputs of this shape.

    Latency does not depend on them, but without them activations grow from layer to layer until a comparison
    of outputs says nothing. Each layer's are those of what it gets when the layers before it normalise.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    if not norms:
        return
    fewest = _FEWEST_VALUES

    def count_values(_norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        nonlocal fewest
        fewest = min(fewest, arguments[0][:, 0].numel())

    hooks = [norm.register_forward_pre_hook(count_values) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.momentum = 1.0  # the statistics become those of the last inputs alone
        norm.train()
    count = _FEW_INPUTS if np.prod(shape[1:]) > _SMALL_INPUT else _SEVERAL_INPUTS
    with torch.no_grad():
        network(probe_input((count, *shape)))
        if fewest < _FEWEST_VALUES:
            network(probe_input((count * math.ceil(_FEWEST_VALUES / fewest), *shape)))
    network.eval()
    for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
        norm.momentum = momentum
        hook.remove()


def build_network(
    space: Space, architecture: Architecture, weights: Mapping[str, Tensor] | None
) -> nn.Module:
    """What is measured of the standalone network: with the given weights, or with initial ones that depend on
    nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = space.network(architecture)
    if weights is not None:
        network.load_state_dict(dict(weights))
    else:
        _settle(network, space.input_shape_of(architecture))
    return space.measured(network).eval()


def _onnx_bytes(network: nn.Module, inputs: Tensor, output: Tensor) -> bytes:
    if isinstance(network, TimedTranslation):
        model = timed_onnx(network, tuple(inputs.shape))
    else:
        model = to_onnx(network, tuple(inputs.shape), tuple(output.shape))
    data: bytes = model.SerializeToString()
    return data


# Form of an exported network, which is also the suffix of its file -> writer.
FORMS: dict[str, Callable[[nn.Module, Tensor, Tensor], bytes]] = {
    "onnx": _onnx_bytes,
    "pt2": lambda network, inputs, _output: to_program(network, inputs),
}


class ArtifactCache:
    """Exports on demand into a folder: `<key>.json` describes an export, `<sha256>.<form>` is its content."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or subfolder("artifacts")

    def get(
        self,
        space: Space,
        architecture: Architecture,
        batch: int,
        weights: Mapping[str, Tensor] | None = None,
        weights_id: str = "initial",
        *,
        form: str = "onnx",
    ) -> Artifact:
        """The artifact for an architecture, exported if it is not there yet.

        Args:
            weights: state of the standalone network; None for initial weights (they do not change latency).
            weights_id: what tells these weights from others of the same architecture.
            form: one of `FORMS`.

        Raises:
            ExportError: the network cannot be written in this form.
        """
        key = content_key(
            {
                "arch": architecture.id,
                "variant": space.variant,
                "batch": batch,
                "weights": weights_id,
                "form": form,
                "exporter": EXPORTER_VERSION,
            }
        )
        inputs = probe_input((batch, *space.input_shape_of(architecture)))
        with _exporting, _one_thread():
            return self._load(key) or self._export(
                key, build_network(space, architecture, weights), inputs, form
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
            shape=source.input_shape,
            expected=source.expected,
            export_s=export_s,
            details=details,
        )

    def _load(self, key: str) -> Artifact | None:
        try:
            content = json.loads((self.folder / f"{key}.json").read_text())
            path = self.folder / content["file"]
            os.utime(path)  # fails where it was pruned: the description alone is worthless
            sha256 = path.name.partition(".")[0]  # a suffix may have several parts
            if not has_sha256(path, sha256):
                return None  # damaged
            shape, expected = tuple(content["input_shape"]), tuple(content["expected"])
            return Artifact(path, sha256, shape, expected, 0.0, content["details"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _export(self, key: str, network: nn.Module, inputs: Tensor, form: str) -> Artifact:
        start = time.perf_counter()
        with torch.inference_mode():
            output = network(inputs)
        if not bool(output.isfinite().all()):
            raise ExportError("PyTorch's own output for the network is not finite")
        data = FORMS[form](network, inputs, output)
        expected = tuple(float(v) for v in output.flatten())
        export_s = time.perf_counter() - start
        return self._keep(
            key, data, form, shape=tuple(inputs.shape), expected=expected, export_s=export_s, details={}
        )

    def _keep(
        self,
        key: str,
        data: bytes,
        suffix: str,
        *,
        shape: tuple[int, ...],
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
            "input_shape": list(shape),
            "expected": list(expected),
            "details": details,
        }
        # No power cut can do harm here: what is damaged is found so when it is loaded, and made again.
        write_atomically(self.folder / f"{key}.json", json.dumps(description), durable=False)
        return Artifact(path, sha256, shape, expected, export_s, details)

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
                    names.add(str(json.loads(path.read_text())["file"]))
        return names
