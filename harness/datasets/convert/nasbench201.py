"""NAS-Bench-201 from the files of HELP (latencies) and FreeREA (accuracies and zero-cost scores).

Not there, because the source is a pickled table: the accuracies of the 12-epoch schedule (`ep12_*`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.datasets.convert.files import (
    ConversionError,
    csv_gz,
    indexed_column,
    json_file,
    load_torch,
    npz,
    read_csv,
    reference,
    torch_column,
)
from modnas.search import indicators
from modnas.spaces.nasbench201.cells import CONV1, CONV3, OPERATORS, format_cell, official_order

_HELP = "data/nasbench201"
_FREEREA = "cached_metrics/nats"
_DATA_SETS = {"cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "in16"}
# Millions of multiply-adds of the published networks: fixed parts, one 3x3 and one 1x1 convolution an edge.
_FLOPS_M = (7.78305, 35.38944, 3.93216)
# Networks with at least this error (percent) do not count towards a front: they guess.
_CHANCE = 90.0


def convert(source: Callable[[str], Path], paths: Sequence[str]) -> dict[str, bytes]:
    """The files of `nb201/`. Raises ConversionError."""
    archs = _archs(source(f"{_HELP}/str_arch2idx.pt"))
    count = len(archs)
    latency = {
        Path(path).stem: torch_column(source(path), count)
        for path in paths
        if path.startswith(f"{_HELP}/latency/")
    }
    metrics = _metrics(source, count)
    return {
        "archs.csv.gz": csv_gz(["index", "arch_str"], enumerate(archs)),
        "latency.npz": npz(latency),
        "energy_reconstructed.npz": npz(_energy(latency["fpga"])),
        "metrics.npz": npz(metrics),
        "metad2a_candidates.csv.gz": _metad2a(source(f"{_HELP}/arch_generated_by_metad2a.txt"), archs),
        "reference.json": json_file(
            {**reference()["nasbench201"], "true_pareto_hypervolume": _hypervolumes(latency, metrics)}
        ),
    }


def _archs(path: Path) -> list[str]:
    """The strings by index, which must be the official order."""
    content = load_torch(path)
    expected = [format_cell(cell) for cell in official_order()]
    if not isinstance(content, dict) or content != {arch: i for i, arch in enumerate(expected)}:
        raise ConversionError(f"{path.name} does not hold the {len(expected)} cells in the official order")
    return expected


def _counts() -> NDArray[np.int64]:
    """How often each operator occurs in each cell, dead edges included: (15625, 5)."""
    cells = np.array(official_order())
    return np.stack([(cells == op).sum(1) for op in range(len(OPERATORS))], axis=1)


def _energy(fpga_ms: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Energy in mJ, modelled after HW-NAS-Bench's printed examples: linear in the operators; FPGA 7 mJ/ms."""
    counts = _counts()
    energy = {
        name: model["base"] + sum(model[op] * counts[:, i] for i, op in enumerate(OPERATORS))
        for name, model in reference()["energy"].items()
    }
    return {**energy, "fpga_energy_mj_cifar10": 7.0 * fpga_ms.astype(np.float64)}


def _metrics(source: Callable[[str], Path], count: int) -> dict[str, NDArray[Any]]:
    def column(data_set: str, name: str) -> NDArray[np.float32]:
        return indexed_column(source(f"{_FREEREA}/{data_set}/{name}.csv"), count)

    metrics: dict[str, NDArray[Any]] = {"ops": np.array(official_order(), dtype=np.int8)}
    for data_set, short in _DATA_SETS.items():
        metrics[f"test_{short}"] = column(data_set, "accuracies")
        metrics[f"zc_naswot_{short}"] = column(data_set, "naswot")
        metrics[f"zc_logsynflow_{short}"] = column(data_set, "logsynflow")
    fixed, conv3, conv1 = _FLOPS_M
    counts = _counts()
    flops = fixed + conv3 * counts[:, CONV3] + conv1 * counts[:, CONV1]
    metrics["params_m_cifar10"] = column("cifar10", "params")
    metrics["flops_m_cifar10"] = flops.astype(np.float32)
    return metrics


def _metad2a(path: Path, archs: Sequence[str]) -> bytes:
    """The proposals of MetaD2A; the file's first line is not one of them."""
    position = {arch: i for i, arch in enumerate(archs)}
    try:
        rows = [[position[arch], arch, accuracy, score] for arch, accuracy, score in read_csv(path)[1:]]
    except (KeyError, ValueError) as error:
        raise ConversionError(f"{path.name} is no list of cell, accuracy and score: {error}") from error
    return csv_gz(["index", "arch_str", "cifar100_test_acc", "metad2a_score"], rows)


def _hypervolumes(
    latency: Mapping[str, NDArray[np.float32]], metrics: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Hypervolume of the exact front of each data set and device, by the rule that is part of the result.

    `front_size` counts points, of cells with equal values one.
    """
    values: dict[str, dict[str, Any]] = {}
    for short in _DATA_SETS.values():
        error = 100.0 - metrics[f"test_{short}"].astype(np.float64)
        kept = error < _CHANCE
        values[short] = {"_n_archs": int(kept.sum())}
        for device, times in latency.items():
            points = np.stack([error, times.astype(np.float64)], axis=1)[kept]
            scaled = indicators.scale(points, points.min(0), points.max(0))
            front = np.unique(scaled[indicators.non_dominated(scaled)], axis=0)
            values[short][device] = {
                "hypervolume": round(indicators.hypervolume(front), 6),
                "front_size": len(front),
            }
    rule = (
        f"error = 100 - test accuracy; drop architectures with error >= {_CHANCE:g}; min-max scale error and "
        "latency over the rest; reference point (1, 1)"
    )
    return {"rule": rule, "values": values}
