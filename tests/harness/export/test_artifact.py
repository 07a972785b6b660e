"""The cache of exported networks."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from model_sources import Models, probe_input
from torch import nn

from harness.export import ArtifactCache, ExportError, artifact
from modnas.core.inputs import InputSpec
from modnas.spaces import Space


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that were really exported."""
    seen: list[nn.Module] = []
    original = artifact.to_onnx

    def counting(network: nn.Module, *shapes: Any) -> Any:
        seen.append(network)
        return original(network, *shapes)

    monkeypatch.setattr(artifact, "to_onnx", counting)
    return seen


def test_second_get_does_not_export(tmp_path: Path, space: Space, exports: list[nn.Module]) -> None:
    cell = space.references[0]
    first = ArtifactCache(tmp_path).get(space, cell, 2)
    again = ArtifactCache(tmp_path).get(space, cell, 2)
    assert len(exports) == 1 and again.export_s == 0.0 < first.export_s
    assert (again.path, again.sha256, again.inputs, again.expected) == (
        first.path,
        first.sha256,
        (InputSpec("input", (2, 1, 8, 8)),),
        first.expected,
    )
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256


def test_what_differs_is_exported_apart(tmp_path: Path, space: Space, exports: list[nn.Module]) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    wider = type(space)(channels=5, cells=1, input_shape=(1, 8, 8))  # type: ignore[call-arg]
    own = Models({"a": nn.Sequential(nn.Linear(3, 2))}, InputSpec("input", (3,)))
    found = [
        cache.get(space, cell, 1),
        cache.get(space, cell, 2),
        cache.get(wider, cell, 1),
        cache.get(own, own.anchor, 1),
        cache.get(space, space.references[1], 1),
    ]
    assert len({a.sha256 for a in found}) == len(exports) == 5


def test_expected_is_what_the_file_computes(tmp_path: Path, space: Space) -> None:
    for cell in space.references:
        found = ArtifactCache(tmp_path).get(space, cell, 3)
        session = onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])
        (output,) = session.run(None, {"input": probe_input(found.inputs[0].shape).numpy()})
        expected = np.asarray(found.expected)
        assert np.abs(output.ravel() - expected).max() <= 1e-4 * np.abs(expected).max()
        assert np.abs(expected).max() < 1e3, "outputs in a range where a comparison says something"


EXPORT = """
import sys, torch
from pathlib import Path
from harness.export import ArtifactCache
from modnas.spaces import get_space
torch.manual_seed(int(sys.argv[2]))
space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
for cell in space.references[:3]:
    print(ArtifactCache(Path(sys.argv[1])).get(space, cell, 1).sha256)
"""


@pytest.mark.slow
def test_every_process_exports_the_same_bytes(tmp_path: Path, space: Space) -> None:
    torch.manual_seed(99)
    ours = [ArtifactCache(tmp_path).get(space, cell, 1).sha256 for cell in space.references[:3]]
    other = tmp_path / "other"
    other.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, str(other), "5"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.split() == ours


def test_exporting_leaves_the_callers_random_state(tmp_path: Path, space: Space) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    ArtifactCache(tmp_path).get(space, space.references[0], 1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"file": 3}',
        "half of {",
        '{"file": "x.onnx", "input_shape": [1], "expected": [1], "details": {}}',
    ],
)
def test_damaged_description_is_made_again(
    tmp_path: Path, space: Space, exports: list[nn.Module], content: str
) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    first = cache.get(space, cell, 1)
    (description,) = tmp_path.glob("*.json")
    description.write_text(content)
    again = cache.get(space, cell, 1)
    assert len(exports) == 2 and again.sha256 == first.sha256
    assert json.loads(description.read_text())["file"] == first.path.name


@pytest.mark.parametrize("part", [slice(100), slice(None, None, -1)])
def test_damaged_network_is_made_again(
    tmp_path: Path, space: Space, exports: list[nn.Module], part: slice
) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    first = cache.get(space, cell, 1)
    content = first.path.read_bytes()
    first.path.write_bytes(content[part])
    assert cache.get(space, cell, 1).path.read_bytes() == content and len(exports) == 2


def test_pruned_network_is_made_again(tmp_path: Path, space: Space, exports: list[nn.Module]) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    first = cache.get(space, cell, 1)
    first.path.unlink()
    assert cache.get(space, cell, 1).path.read_bytes() and len(exports) == 2


def test_network_pruned_by_another_process_meanwhile(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    first = cache.get(space, cell, 1)
    parse = json.loads

    def read_then_pruned(text: str) -> Any:
        first.path.unlink(missing_ok=True)
        return parse(text)

    monkeypatch.setattr(json, "loads", read_then_pruned)
    again = cache.get(space, cell, 1)
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == again.sha256 == first.sha256


def test_prune_keeps_the_most_recently_used(tmp_path: Path, space: Space) -> None:
    cache = ArtifactCache(tmp_path)
    cells = [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3, 4)]
    found = [cache.get(space, cell, 1) for cell in cells]
    for age, one in zip((40, 30, 20, 10), found, strict=True):
        stamp = one.path.stat().st_mtime - age
        os.utime(one.path, (stamp, stamp))
    cache.get(space, cells[0], 1)  # the oldest is used again
    keep = found[0].path.stat().st_size + found[3].path.stat().st_size
    assert cache.prune(keep) == 2
    assert {one.path for one in found if one.path.exists()} == {found[0].path, found[3].path}
    assert cache.prune(keep) == 0
    assert cache.prune(0) == 2 and not list(tmp_path.glob("*.onnx"))


def test_network_whose_output_is_not_finite_is_refused(tmp_path: Path, space: Space) -> None:
    network = space.network(space.references[0])
    for weights in network.parameters():
        nn.init.constant_(weights, float("nan"))
    poisoned = Models({"a": network}, *space.inputs(space.references[0]))
    with pytest.raises(ExportError, match="not finite"):
        ArtifactCache(tmp_path).get(poisoned, poisoned.anchor, 1)
    assert not list(tmp_path.iterdir())


def test_descriptions_without_types_are_read(tmp_path: Path, space: Space, exports: list[nn.Module]) -> None:
    cache, cell = ArtifactCache(tmp_path), space.references[0]
    first = cache.get(space, cell, 2)
    (description,) = tmp_path.glob("*.json")
    content = json.loads(description.read_text())
    del content["inputs"]
    description.write_text(json.dumps({**content, "input_shape": [2, 1, 8, 8]}))
    assert cache.get(space, cell, 2).inputs == first.inputs and len(exports) == 1
