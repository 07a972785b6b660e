"""The wheel holds everything, and what is installed from it works without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it.

    The dependencies are those of the running environment: a path file appends its folder. Path files inside
    that folder have no effect then, so that an editable install of the checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    found = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    run(
        sys.executable, "-m", "pip", "--python", found, "install", "--quiet", "--no-deps", "--no-index", wheel
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


@pytest.mark.slow
def test_wheel_holds_packages_and_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"device_profiles/{path.name}" for path in (ROOT / "device_profiles").glob("*.yaml")}
    assert len(shipped) >= 2
    templates = {f"harness/report/{path.name}" for path in (ROOT / "harness/report").glob("*.html.j2")}
    assert "harness/report/base.html.j2" in templates
    assert names >= shipped | templates | {"harness/report/report.html.j2", "device_profiles/__init__.py"}
    for package, folder in (("modnas", ROOT), ("harness", ROOT), ("modnas_agent", ROOT / "agents")):
        expected = {str(path.relative_to(folder)) for path in (folder / package).rglob("*.py")}
        assert expected <= names, package
    tops = {name.partition("/")[0] for name in names}
    extra = {top for top in tops if not top.endswith(".dist-info")}
    assert extra == {"modnas", "harness", "modnas_agent", "device_profiles"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.slow
def test_installed_wheel_works_without_the_checkout(python: Path, tmp_path: Path) -> None:
    code = "import modnas, harness, modnas_agent, device_profiles as d; " + (
        "print(*(m.__file__ for m in (modnas, harness, modnas_agent, d)), sep='\\n')"
    )
    for path in run(python, "-c", code, cwd=tmp_path, PYTHONPATH="").split():
        assert Path(path).is_relative_to(python.parent.parent), path
    home = tmp_path / "home"
    command = (python.parent / "modnas-hw", "doctor", "--json")
    found = json.loads(run(*command, cwd=tmp_path, MODNAS_HOME=str(home), PYTHONPATH=""))
    checks = {check["name"]: check for check in found["checks"]}
    assert found["ok"] and checks["device cpu"]["ok"] and checks["home"]["detail"] == str(home)
