"""A board's runtime put together on this machine, for boards that cannot download."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modnas_agent.foreign_words import meaning_of

from harness.backends import Runtime, WheelFile
from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import last_line
from harness.core.home import file_sha256, has_sha256, read_kept, subfolder, write_atomically
from harness.store import content_key

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
        match = re.match(r"2\.([0-9]{1,3})(?![0-9])", self.libc[1])  # a tag for each: no billions of them
        if self.libc[0] != "glibc" or match is None:
            raise DeviceUnavailableError(
                f"there are no wheels for a board with {self.libc[0] or 'an unknown C library'}; install "
                "the runtime there from its distribution and name that Python in the profile"
            )
        tags = [f"manylinux_2_{n}_{self.machine}" for n in range(int(match[1]), _OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]


def runtime_archive(platform: BoardPlatform, runtime: Runtime) -> Path:
    """A .tar.gz of the runtime's packages and files; kept, so that a second board costs no download.

    Raises:
        DeviceUnavailableError: no wheels fit, or they cannot be fetched.
    """
    key = content_key({"platform": str(platform), **runtime.identity})[:16]
    path = subfolder("wheels") / f"runtime-{key}.tar.gz"
    if _is_whole(path):
        return path
    extra = [runtime_file(platform, file) for file in runtime.files]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / "packages"
        _pip(platform, "install", "--no-compile", f"--target={target}", *runtime.requirements)
        shutil.rmtree(target / "bin", ignore_errors=True)
        partial = Path(folder) / path.name
        with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
            for entry in [*sorted(target.iterdir()), *extra]:
                archive.add(entry, entry.name)
        _keep(partial, path)
    return path


def runtime_file(platform: BoardPlatform, file: WheelFile) -> Path:
    """One file out of a package's wheel for a platform; kept, the wheel is not.

    Raises:
        DeviceUnavailableError: no wheel fits, or it cannot be fetched.
    """
    key = content_key({"platform": str(platform), "file": [file.requirement, file.path]})[:16]
    path = subfolder("wheels") / f"file-{key}" / Path(file.path).name
    if _is_whole(path):
        return path
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _pip(platform, "download", "--no-deps", f"--dest={folder}", file.requirement)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            _keep(Path(wheel.extract(file.path, folder)), path)
    return path


def _note(path: Path) -> Path:
    """Where the hash of a kept file is."""
    return path.with_name(f"{path.name}.sha256")


def _keep(made: Path, path: Path) -> None:
    """Keep a file under its name, with its hash beside it."""
    write_atomically(_note(path), file_sha256(made))
    made.replace(path)


def _is_whole(path: Path) -> bool:
    """Whether a kept file is there and has the content it was kept with."""
    try:
        return has_sha256(path, read_kept(_note(path)).strip())
    except FileNotFoundError:
        pass
    if not _can_be_read(path):
        return False
    write_atomically(_note(path), file_sha256(path))
    return True


def _can_be_read(path: Path) -> bool:
    """What can be said of a file that an earlier version kept, which noted no hash."""
    try:
        if path.stat().st_size == 0 or not path.name.endswith(".tar.gz"):
            return path.stat().st_size > 0
        with gzip.open(path) as file:
            while file.read(1 << 20):  # to its end, where its checksum is
                pass
        return True
    except (OSError, EOFError, zlib.error):
        return False


def _pip(platform: BoardPlatform, verb: str, *arguments: str) -> None:
    """Have pip fetch wheels for another machine."""
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={platform.python[0]}.{platform.python[1]}"]
    command += [f"--platform={tag}" for tag in platform.tags()]
    try:
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=DOWNLOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceUnavailableError(f"fetching wheels for {platform} took too long") from error
    if done.returncode != 0:
        said = meaning_of(done.stderr) or last_line(done.stderr) or "no message"
        raise DeviceUnavailableError(f"no wheels for {platform}: {said}")
