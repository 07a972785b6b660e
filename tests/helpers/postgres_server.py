"""A PostgreSQL server of a test's own: in a temporary folder, on a loopback port, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

# Special in a URL and in JSON.
PASSWORD = 'p@ss/w:o?r#d"% ü'


def programs() -> Path | None:
    """The folder of the server's programs, or None: it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    return next((f for f in (*candidates, *folders) if (f / "initdb").exists()), None)


class PostgresServer:
    """A server that runs; its superuser is `owner`, and everybody's password is `PASSWORD`."""

    def __init__(self, folder: Path, user: str | None, bin_folder: Path) -> None:
        self._folder, self._user, self._bin = folder, user, bin_folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        password = folder / "password"
        password.write_text(PASSWORD)
        if user is not None:
            for path in (folder, password):
                shutil.chown(path, user)
        options = ["-U", "owner", "-A", "scram-sha-256", "--pwfile", str(password), "-E", "UTF8"]
        command = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "--locale=C", "-N", *options]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        self.start()

    def url(self, database: str = "postgres", role: str = "owner") -> str:
        return f"postgresql://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder), "-c", "fsync=off"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._folder / "data"), *options],
                user=self._user,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.run("SELECT 1")
                return
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        raise TimeoutError((self._folder / "log").read_text())

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it as an administrator does, ending every connection; `at_once` as a crash does."""
        self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
        self._process.wait(60)

    def run(self, statement: str, database: str = "postgres") -> None:
        command = [str(self._bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-U", "owner", "-d", database, "-c", statement]
        environment = os.environ | {"PGPASSWORD": PASSWORD, "PGCLIENTENCODING": "UTF8"}
        subprocess.run(command, env=environment, check=True, capture_output=True)


@contextmanager
def running_server(bin_folder: Path) -> Iterator[PostgresServer]:
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        server = PostgresServer(folder, user, bin_folder)
        try:
            yield server
        finally:
            server.stop(at_once=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
