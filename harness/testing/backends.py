"""What every backend must do: it is looked at, and a small network is exported, loaded and measured."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.backends import Backend, Runtime, get_backend, open_exporter
from harness.core.errors import ModnasHwError
from harness.devices.profile import DeviceProfile
from harness.export import Artifact, ArtifactCache
from harness.export.exporters import Exporter
from harness.measure.session import DeviceSession
from harness.testing.agent_modules import check_agent_module
from harness.testing.home import own_home
from modnas.spaces import Space, get_space

# Short: the figures are not looked at beyond their presence.
_POLICY = {"precision": 0.2, "warmup_s": 0.0, "min_time_s": 0.01, "max_time_s": 2.0, "min_samples": 5}


def check_backend(name: str, *, space: Space | None = None, options: dict[str, Any] | None = None) -> None:
    """Check a backend on this machine, on which its runtime must be installed.

    Args:
        space: networks that it can run, whose first reference is measured; a small cell network by default.
        options: of the profile, other than the defaults.

    Raises:
        AssertionError: it does not do what a backend must; the message says what.
        DeviceUnavailableError: its runtime is not there.
    """
    backend = get_backend(name)
    check_import(backend)
    check_description(backend)
    check_agent_source(backend)
    with own_home():
        profile = DeviceProfile.model_validate({"name": "check", "backend": name, "options": options or {}})
        network = space or get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
        cache = ArtifactCache()
        with closing(open_exporter(profile, cache)) as exporter, DeviceSession(profile) as session:
            artifact = check_exporter(exporter, network)
            check_measurements(session, exporter, artifact, per_op=backend.times_operators)


def check_import(backend: Backend) -> None:
    """Importing the class is light: whoever lists profiles does it."""
    module = type(backend).__module__
    code = f"import sys, {module}\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, f"importing {module} fails or imports PyTorch: {done.stderr[-500:]}"


def check_description(backend: Backend) -> None:
    """The class itself: options that survive a profile and a request."""
    fields = backend.options.model_fields
    unknown = set(backend.agent_options) - set(fields)
    assert not unknown, f"agent_options names {', '.join(sorted(unknown))}, which are no fields of options"
    assert {"threads", "affinity"} <= set(backend.agent_options), "the agent places every backend's threads"
    assert all(field.is_required() is False for field in fields.values()), "every option needs a default"
    profile = DeviceProfile(name="check", backend=backend.name)
    again = DeviceProfile.model_validate(json.loads(json.dumps(profile.model_dump(mode="json"))))
    assert again == profile, "a profile with the default options is another one after it was written and read"
    json.dumps(profile.agent_options, allow_nan=False)
    with suppress(ModnasHwError):  # one that is not brought to boards, or not from this machine
        assert isinstance(backend.runtime(), Runtime)


def check_agent_source(backend: Backend) -> None:
    """The agent's side: one module for an old Python that imports its runtime only when it is asked to."""
    source = backend.agent_source()
    if source is None:
        source = files("modnas_agent").joinpath("backends", f"{backend.name}.py").read_bytes()
    tree = check_agent_module(source, "backend()")
    made = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert "backend" in made, "the agent's side has no function backend()"


def check_exporter(exporter: Exporter, space: Space) -> Artifact:
    """Files that are the same each time, with keys that can be stored; the first reference's."""
    key = exporter.key(space)
    assert json.loads(json.dumps(key, allow_nan=False)) == exporter.key(space), "key() changes, or is no JSON"
    first = exporter.get(space, space.references[0], 1)
    assert first.is_whole(), f"{first.path} has not the sha256 that its artifact says"
    assert first.expected, "an artifact says what its network must give"
    again = exporter.get(space, space.references[0], 1)
    assert again.sha256 == first.sha256, "the same network gives another file the second time"
    two = exporter.get(space, space.references[0], 2)
    pairs = zip(two.inputs, first.inputs, strict=True)
    assert all(b.shape[0] == 2 * a.shape[0] for b, a in pairs), "a batch of two has not twice the inputs"
    with tempfile.TemporaryDirectory() as folder:
        moved = exporter.into(ArtifactCache(Path(folder))).get(space, space.references[0], 1)
        assert Path(folder) in moved.path.parents, "into() makes files in another folder"
        assert moved.expected == first.expected
    return first


def check_measurements(session: DeviceSession, exporter: Exporter, artifact: Artifact, per_op: bool) -> None:
    """Through the agent: figures, outputs that are compared, failures that are told and leave no trace."""

    def measure(one: Artifact, tolerance: float, operators: bool = False) -> dict[str, Any]:
        return session.measure(one, tolerance=tolerance, per_op=operators, policy=_POLICY)

    good = measure(artifact, exporter.tolerance)
    assert good["status"] == "ok", f"the network is not measured: {good.get('reason')}: {good.get('message')}"
    assert good["latency"]["median_ms"] > 0
    assert good["runtime"]["version"] == session.runtime_version, "two versions of one runtime"
    wrong = measure(replace(artifact, expected=tuple(v + 10 for v in artifact.expected)), 1e-3)
    assert wrong.get("reason") == "mismatch", "outputs that are not the network's are not noticed"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rubbish{artifact.path.suffix}"
        path.write_bytes(b"this is no network")
        rubbish = replace(artifact, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        found = measure(rubbish, exporter.tolerance)
    assert found["status"] == "error" and found.get("message"), "a file that is no network is measured"
    after = measure(artifact, exporter.tolerance, operators=per_op)
    assert after["status"] == "ok", f"after a failure nothing is measured any more: {after.get('message')}"
    assert not per_op or after.get("per_op"), "times_operators promises the times of operators"
