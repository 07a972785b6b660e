"""Root file systems for board (b), made once and kept in a cache folder.

`MODNAS_BOARD_CACHE` names the folder; by default `~/.cache/modnas-hw/boards`. There are two layers: a Debian
with sshd and Python, and ONNX Runtime with what it needs, for boards that have it installed already.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
#: Python of the suite, which the wheels must fit.
PYTHON_VERSION = "3.11"
RUNTIME = ("numpy<2.3", "onnxruntime>=1.18")
PACKAGES = (
    "base-files,base-passwd,bash,coreutils,dash,findutils,grep,gzip,libc-bin,libgomp1,libstdc++6,openssh-server,"
    "procps,python3,python3-pip-whl,python3-setuptools-whl,python3-venv,sed,tar,util-linux"
)
PASSWD = """root:x:0:0:root:/root:/bin/bash
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
board:x:1000:1000::/home/board:/bin/bash
"""
GROUP = "root:x:0:\ntty:x:5:\nboard:x:1000:\nnogroup:x:65534:\n"
#: No passwords, yet not locked: sshd without PAM refuses locked accounts.
SHADOW = "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\nboard:*:19000:0:99999:7:::\n"


#: Found when this is imported: tests give themselves another HOME.
_CACHE = Path(os.environ.get("MODNAS_BOARD_CACHE") or Path.home() / ".cache" / "modnas-hw" / "boards")


def cache_folder() -> Path:
    """Where the layers are kept."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    return _CACHE


def share_wheels(home: Path) -> None:
    """Have a home folder use the wheels in the cache: downloaded once, and not once a test."""
    wheels = cache_folder() / "wheels"
    wheels.mkdir(exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    (home / "wheels").symlink_to(wheels)


@contextmanager
def _made_once(name: str) -> Iterator[Path | None]:
    """A folder to fill that becomes `name` when the block ends well; None when it is there already."""
    folder = cache_folder()
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / name).is_dir():
            yield None
            return
        unfinished = folder / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(folder / name)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-800:]}")


def base_layer(architecture: str = "amd64") -> Path:
    """A Debian whose packages are unpacked but not configured: all it has to do is run sshd and Python."""
    name = f"base-{SUITE}-{architecture}"
    with _made_once(name) as folder:
        if folder is not None:
            sources = [
                path
                for path in map(Path, ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"))
                if path.exists()
            ]
            options = ["--quiet", f"--arch={architecture}", "--variant=extract", f"--include={PACKAGES}"]
            _run("mmdebstrap", *options, SUITE, folder, sources[0])
            (folder / "etc/passwd").write_text(PASSWD)
            (folder / "etc/group").write_text(GROUP)
            (folder / "etc/shadow").write_text(SHADOW)
            for path in ("proc", "sys", "dev", "run", "tmp", "root/.ssh", "home/board/.ssh", "etc/ssh"):
                (folder / path).mkdir(parents=True, exist_ok=True)
            (folder / "tmp").chmod(0o1777)
    return cache_folder() / name


def runtime_layer() -> Path:
    """ONNX Runtime in the place where Debian's Python looks for packages."""
    name = "runtime-amd64"
    with _made_once(name) as folder:
        if folder is not None:
            target = folder / "usr/lib/python3/dist-packages"
            options = [f"--target={target}", f"--python-version={PYTHON_VERSION}", "--implementation=cp"]
            platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in (28, 27, 17)]
            platforms.append("--platform=manylinux2014_x86_64")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run(*pip, "--only-binary=:all:", *options, *platforms, *RUNTIME)
    return cache_folder() / name
