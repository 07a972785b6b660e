"""A board's runtime put together on this machine, for boards that cannot download."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DeviceUnavailableError
from harness.home import subfolder
from harness.store import content_key

# What the agent's ONNX Runtime backend imports.
REQUIREMENTS = ("onnxruntime>=1.17", "numpy>=1.21")
DOWNLOAD_S = 600.0
# Oldest glibc that manylinux wheels are built for nowadays.
_OLDEST_GLIBC = 17


@dataclass(frozen=True)
class BoardPlatform:
    """What decides which wheels fit. `libc`: (name, version), as `platform.libc_ver` gives it."""

    machine: str
    libc: Sequence[str]
    python: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.machine}, glibc {self.libc[1]}, Python {self.python[0]}.{self.python[1]}"

    def tags(self) -> list[str]:
        """Platform tags of the wheels that run there, best first. Raises DeviceUnavailableError."""
        match = re.match(r"2\.(\d+)", self.libc[1])
        if self.libc[0] != "glibc" or match is None:
            raise DeviceUnavailableError(
                f"there are no wheels for a board with {self.libc[0] or 'an unknown C library'}; install "
                "ONNX Runtime there from its distribution and name that Python in the profile"
            )
        tags = [f"manylinux_2_{n}_{self.machine}" for n in range(int(match[1]), _OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]


def runtime_archive(platform: BoardPlatform) -> Path:
    """A .tar.gz of the runtime's packages for a platform; kept, so that a second board costs no download.

    Raises:
        DeviceUnavailableError: no wheels fit, or they cannot be fetched.
    """
    tags = platform.tags()
    key = content_key({"platform": str(platform), "requirements": list(REQUIREMENTS)})[:16]
    path = subfolder("wheels") / f"runtime-{key}.tar.gz"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / "packages"
        _pip_install(platform, tags, target)
        partial = Path(folder) / path.name
        with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
            for entry in sorted(target.iterdir()):
                archive.add(entry, entry.name)
        partial.replace(path)
    return path


def _pip_install(platform: BoardPlatform, tags: list[str], target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--no-compile", f"--target={target}"]
    command += ["--implementation=cp", f"--python-version={platform.python[0]}.{platform.python[1]}"]
    command += [f"--platform={tag}" for tag in tags]
    try:
        done = subprocess.run(
            [*command, *REQUIREMENTS], capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceUnavailableError(f"fetching wheels for {platform} took too long") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise DeviceUnavailableError(f"no wheels of ONNX Runtime for {platform}: {said}")
    shutil.rmtree(target / "bin", ignore_errors=True)
