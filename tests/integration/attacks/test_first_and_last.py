"""The first seconds of a process and its last: interruptions, closed streams, other locales."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from integration_home import TINY, Home

pytestmark = pytest.mark.slow

PROFILE = ("profile", "--device", "quick", "--archs", "1", *TINY)
#: What is installed as `modnas-hw`, after some code of a test's own.
PROGRAM = "{before}\nimport sys\nfrom harness.cli import main\nsys.exit(main())\n"
#: Sends this process a signal when a module is about to be imported.
SIGNAL_AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder())
"""
#: Sends this process a signal in the middle of what takes a folder for temporary files.
SIGNAL_IN_WORK = """
import os, signal, tempfile
class Folder(tempfile.TemporaryDirectory):
    def __enter__(self):
        name = super().__enter__()
        open(os.path.join(name, "half-done"), "w").close()
        os.kill(os.getpid(), signal.{signal})
        return name
tempfile.TemporaryDirectory = Folder
"""


def start(
    home: Home,
    *arguments: str,
    before: str = "",
    environment: Mapping[str, str] | None = None,
    redirected: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own. `redirected`: what a shell does to its streams.

    A count of what is executed would have its own to say on them, and is left out; streams have buffers, as
    they have for people.
    """
    command: Sequence[str] = (sys.executable, "-c", PROGRAM.format(before=before), *arguments)
    if redirected:
        command = ("bash", "-c", f'"$@" {redirected}', "bash", *command)
    left_out = ("COVERAGE_", "PYTHONUNBUFFERED")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    variables = {**inherited, "MODNAS_HOME": str(home.folder), "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=variables, errors="replace"
    )


def check_one_line(errors: str, begins: str) -> None:
    assert errors.startswith(begins) and errors.count("\n") == 1, errors


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(
            (module, "SIGINT")
            for module in ("typer", "rich.console", "pydantic", "sqlalchemy", "numpy", "torch")
        ),
        ("typer", "SIGTERM"),
        ("torch", "SIGTERM"),
        ("numpy", "SIGHUP"),
    ],
)
def test_a_signal_while_modules_are_imported(home: Home, module: str, name: str) -> None:
    before = SIGNAL_AT_IMPORT.format(module=module, signal=name)
    ended = start(home, *PROFILE, "--json", before=before)
    assert ended.returncode == 128 + getattr(signal, name), ended.stderr
    check_one_line(ended.stderr, "interrupted")
    assert json.loads(ended.stdout)["error"]["code"] == "interrupted"
    assert not (home.folder / "store.sqlite").exists() or not rows(home)


def test_a_signal_that_is_ignored_stays_so(home: Home) -> None:
    before = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SIGNAL_AT_IMPORT.format(
        module="pydantic", signal="SIGHUP"
    )
    ended = start(home, "devices", "show", "quick", "--json", before=before)
    assert ended.returncode == 0 and json.loads(ended.stdout)["name"] == "quick", ended.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_folders_for_temporary_files_are_removed(home: Home, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    before = SIGNAL_IN_WORK.format(signal=name)
    command = (*PROFILE, "--quantize", "int8")
    ended = start(home, *command, before=before, environment={"TMPDIR": str(folder)})
    assert ended.returncode == 128 + getattr(signal, name), ended.stderr
    assert "Traceback" not in ended.stderr and ended.stderr.splitlines()[-1].startswith("interrupted")
    assert not [*folder.iterdir()] and not rows(home)


def rows(home: Home) -> int:
    """How many measurements the store has; fails where something else was written into its file."""
    with closing(sqlite3.connect(home.folder / "store.sqlite")) as store:
        assert store.execute("pragma integrity_check").fetchall() == [("ok",)]
        (count,) = store.execute("select count(*) from measurements").fetchone()
    return int(count)


#: Quick ones, the store among what they open.
LIST, REFUSED = ("devices", "list", "--json"), ("devices", "show", "nope", "--json")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "2> >(exec 0<&-; exec true)", "<&- 2>&-"])
def test_a_stderr_that_takes_nothing(home: Home, redirected: str) -> None:
    ended = start(home, *LIST, redirected=redirected)
    assert ended.returncode == 0 and json.loads(ended.stdout)["devices"]
    refused = start(home, *REFUSED, redirected=redirected)
    assert refused.returncode == 2 and json.loads(refused.stdout)["error"]["code"] == "usage"


def test_what_is_measured_without_streams_is_stored_and_nothing_else(home: Home) -> None:
    ended = start(home, *PROFILE, redirected="<&- >&- 2>&-")
    assert ended.returncode == 0 and rows(home) == 1
    assert start(home, *PROFILE, "--json", redirected=">&- 2>&-").returncode == 1, "its result has no place"
    assert rows(home) == 1


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full", "| true; exit ${PIPESTATUS[0]}"])
def test_a_stdout_that_takes_nothing(home: Home, redirected: str) -> None:
    ended = start(home, *LIST, redirected=redirected)
    assert ended.returncode == 1, ended.stderr
    check_one_line(ended.stderr, "error: the result cannot be written to stdout")
    if "|" not in redirected:
        silent = start(home, "devices", "show", "quick", redirected=redirected)
        assert silent.returncode == 0, "what people read goes to stderr"
        told = start(home, "--help", redirected=redirected)
        assert told.returncode == 1
        check_one_line(told.stderr, "error: ")


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "ascii", "latin-1"],
)
def test_a_locale_of_another_alphabet(tmp_path: Path, locale: dict[str, str]) -> None:
    home = Home(tmp_path / "Gerät ☂")
    (home.folder / "devices" / "quick.yaml").open("a", encoding="utf-8").write("description: Gerät ☂\n")
    if "PYTHONIOENCODING" not in locale:
        ended = start(home, *PROFILE, "--json", environment=locale)
        assert ended.returncode == 0 and json.loads(ended.stdout)["measured"] == 1, ended.stderr
    shown = start(home, "devices", "list", environment=locale)
    assert shown.returncode == 0 and "quick" in shown.stderr and "Traceback" not in shown.stderr, shown.stderr
    assert start(home, "--help", environment=locale).returncode == 0
    refused = start(home, "profile", "--device", "☂", "--json", environment=locale)
    assert refused.returncode == 2, refused.stderr
    check_one_line(refused.stderr, "error: no device")
    assert json.loads(refused.stdout)["error"]["code"] == "usage"


def test_links_that_others_put_into_a_shared_folder_are_not_followed(home: Home, tmp_path: Path) -> None:
    """Whoever guesses a process's number may put links where it would write; see `write_atomically`."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir(mode=0o777)
    victim.write_text("theirs")
    before = (
        "import os, threading\n"
        f"name = f'.set.npz.{{os.getpid()}}-{{threading.get_native_id()}}.tmp'\n"
        f"os.symlink({str(victim)!r}, os.path.join({str(shared)!r}, name))\n"
    )
    assert start(home, "features", "--device", "quick", *TINY).returncode == 0
    ended = start(home, "dataset", "build", *TINY, "--out", str(shared / "set.npz"), before=before)
    assert ended.returncode == 0, ended.stderr
    assert victim.read_text() == "theirs" and [path.name for path in shared.iterdir()] == ["set.npz"]
