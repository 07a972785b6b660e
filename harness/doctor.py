"""Checks of an installation: packages, home, store, agent, shipped devices."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from harness.backends import backend_names, get_backend
from harness.core.errors import ModnasHwError
from harness.core.home import home
from harness.devices.registry import device_names, get_profile, is_user_profile
from harness.measure.session import DeviceSession
from harness.store import Store
from modnas.core.errors import ModnasError

PACKAGES = ("torch", "onnx", "onnxruntime", "moocore", "SQLAlchemy")


@dataclass(frozen=True)
class Finding:
    """One check. A check that is not `required` may fail on a healthy machine."""

    name: str
    ok: bool
    detail: str
    required: bool = True


def checkup() -> list[Finding]:
    """Run all checks, none of which raises."""
    findings = [Finding("python", True, platform.python_version())]
    findings += [_package(name) for name in PACKAGES]
    findings += [_backend(name) for name in backend_names() if name not in PACKAGES]
    try:
        findings.append(Finding("home", True, str(home())))
        findings.append(_store())
        findings += [
            _device(name) for name in device_names() if is_user_profile(name) or not _is_remote(name)
        ]
    except ModnasHwError as error:
        findings.append(Finding("home", False, str(error)))
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, f"not installed; pip install {name}")


def _backend(name: str) -> Finding:
    """Whether files for a backend can be made here; everything else works without it."""
    try:
        return Finding(name, True, get_backend(name).host_version(), required=False)
    except (ModnasError, PackageNotFoundError) as error:
        return Finding(name, False, str(error), required=False)


def _store() -> Finding:
    try:
        with Store() as store:
            problem = store.check()
            counts = ", ".join(f"{n} {table}" for table, n in store.counts().items())
            return Finding("store", problem is None, problem or f"integrity ok; {counts}")
    except ModnasHwError as error:
        return Finding("store", False, str(error))


def _is_remote(name: str) -> bool:
    """Whether a profile is for a board: a shipped one of a board that is not there is no finding."""
    return get_profile(name).ssh is not None


def _device(name: str) -> Finding:
    required = name == "cpu"
    try:
        with DeviceSession(get_profile(name)) as session:
            detail = f"{session.profile.backend} {session.runtime_version}, fingerprint {session.fingerprint}"
            sensors = session.client.inventory.get("power_sensors")
            detail += f", power sensors: {', '.join(sensors or []) or 'none'}"
            return Finding(f"device {name}", True, detail, required)
    except ModnasHwError as error:
        return Finding(f"device {name}", False, str(error), required)
