"""Files that are not what a command takes them for: one line with a code, and nothing has changed."""

from __future__ import annotations

import pytest
from attack_files import FILES, PROFILES, write_files
from attack_table import LONG, SIZE, Person, Row

USAGE = 2, "usage"
SEARCH = "search --devices tab --preset atom"
#: What is said of a file of another kind, wherever a text is expected.
KINDS = {
    "garbage": "is not utf-8",
    "latin.csv": "is not utf-8",
    "pickle.pt": "another pickle",
    "torch.pt": "another pickle",
    "cut.pt": "another pickle",
    "arrays.npz": "NumPy arrays",
    "cut.npz": "NumPy arrays",
    "archive.zip": "unzip",
    "packed.gz": "gunzip",
    "net.onnx": "ONNX",
    "image.png": "an image",
    "paper.pdf": "a PDF",
    "program": "a program",
    "foreign.safetensors": "safetensors",
    "cut.safetensors": "safetensors",
}
#: What stands there instead of a file, and what is said of it.
SPECIALS = {
    "pipe": "nobody wrote to this pipe",
    "socket": "No such device or address",
    "folder": "Is a directory",
    "loop": "symbolic links",
    "dangling": "No such file",
    "endless": "more than 64 MB",
    "nothing": "names no architecture",
    "absent": "No such file",
    LONG: "File name too long",
}
LISTS = {
    **KINDS,
    **SPECIALS,
    "empty": "names no architecture",
    "blank.txt": "names no architecture",
    "nul.txt": "binary",
    "page.html": "page.html, line 1",
    "huge.safetensors": "binary",
    "nothing.json": "nothing.json, line 1",
    "open.json": "no JSON",
    "deep.json": "nested too deeply",
    "other.json": "resnet18",
    "broken.yaml": "line 2",
    "word.txt": "word.txt, line 1",
    "second.txt": "second.txt, line 2",
    "long.txt": "long.txt, line 1",
}
#: Where a file of a known format is expected, it has to be a file.
NO_FILE = {
    "pipe": "it is no file",
    "socket": "it is no file",
    "folder": "it is no file",
    "loop": "lead in a circle",
    "dangling": "No such file",
    "endless": "it is no file",
    "nothing": "it is no file",
    "absent": "No such file",
    LONG: "shorter name",
}
TABLES = {
    **KINDS,
    **NO_FILE,
    "empty": "is empty",
    "blank.txt": "arch,value",
    "nul.txt": "arch,value",
    "page.html": "arch,value",
    "deep.json": "arch,value",
    "word.txt": "arch,value",
    "long.txt": "cannot be read",
    "header.csv": "arch,value",
    "headless.csv": "arch,value",
    "semicolon.csv": "arch,value",
    "only-header.csv": "is empty",
    "fields.csv": "line 2: expected an architecture and a value",
    "word.csv": "line 2: 'fast' is not a number",
    "comma.csv": "line 2: '1,5' is not a number",
    "nan.csv": "line 2: nan is not a positive",
    "negative.csv": "line 2: -1 is not a positive",
    "zero.csv": "line 2: 0 is not a positive",
    "twice.csv": "line 3",
    "quote.csv": "cannot be read",
    "network.csv": "line 2: not a NAS-Bench-201 cell",
}
WEIGHTS = ("empty", "garbage", "pickle.pt", "torch.pt", "arrays.npz", "net.onnx", "cut.safetensors")
SETS = ("empty", "garbage", "tab.csv", "arrays.npz", "cut.npz", "archive.zip", "pickle.pt")
OUTPUTS = {
    "pipe": "it is no file",
    "socket": "it is no file",
    "folder": "name a file",
    "endless": "it is no file",
    "nothing": "it is no file",
    "absent/set.npz": "No such file",
    "tab.csv/set.npz": "a file, not a folder",
    LONG: "shorter name",
}
#: What a profile's error says, by its device's name; see `attack_files.PROFILES`.
FIELDS = {
    "hollow": "mapping",
    "listed": "mapping",
    "text": "mapping",
    "other": "'another'",
    "field": "colour",
    "typo": "write batch",
    "word": "'four'",
    "large": "65536",
    "yes": "line 1",
    "twice": "line 3",
    "tagged": "take the tag",
    "tabbed": "line 3",
    "runtime": "onnxruntime, torch",
    "option": "options.threads",
    "policy": "policy.precision",
    "infinite": "policy.max_time_s",
    "way": "local, or ssh",
    "port": "transport.ssh.port",
    "host": "transport.ssh.host",
    "sensor": "rapl",
    "watts": "tdp_w",
}


def _code(name: str) -> tuple[int, str]:
    """Exit status and code of an import: what is told by its first bytes has a code of its own."""
    return (2, "no-text-file") if name in KINDS and KINDS[name] != "is not utf-8" else USAGE


ROWS = [
    *(Row(f"profile --device quick --archs {name}", *USAGE, says) for name, says in LISTS.items()),
    *(Row(f"dataset import {name} --device new {SIZE}", *_code(name), says) for name, says in TABLES.items()),
    *(Row(f"{SEARCH} --weights {name}", *USAGE, name) for name in WEIGHTS),
    *(Row(f"{SEARCH} --weights {name}", *USAGE, "--weights") for name in NO_FILE),
    *(Row(f"dataset show --file {name}", *USAGE, "modnas-hw dataset build") for name in SETS),
    *(Row(f"dataset show --file {name}", *USAGE, says) for name, says in NO_FILE.items()),
    *(Row(f"dataset build {SIZE} --out {name}", *USAGE, says) for name, says in OUTPUTS.items()),
    *(Row(f"profile --device {name}", 2, "device-profile", says) for name, says in FIELDS.items()),
]


def test_every_file_is_in_the_table() -> None:
    assert FILES.keys() <= {*LISTS, *TABLES, *WEIGHTS, "number.json"} and PROFILES.keys() == FIELDS.keys()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_file_of_another_kind(person: Person, row: Row) -> None:
    write_files(person.work, person.home)
    person.refused(row)


def test_a_pipe_that_somebody_writes_to_is_read(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.core.text_files.WRITER_S", 60.0)
    process = person.start_writer("pipe", FILES["second.txt"])
    ended = person.run("profile --device quick --archs pipe")
    assert process.wait(timeout=10) == 0
    assert ended.exit_code == 2 and "pipe, line 2" in ended.message, ended.errors


@pytest.mark.parametrize(
    "name", ["config.json", "predictor.json", "front.json", "references.json", "checkpoint.safetensors"]
)
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "garbage"])
def test_a_file_of_a_run_that_is_damaged(person: Person, name: str, kind: str) -> None:
    file = person.home / "runs" / "done" / name
    if not file.exists():
        pytest.skip(f"a run has no {name}")
    person.replace(file, kind)
    before = person.state()
    for line in ("front --run done --device spare", "verify --run done --device tab"):
        ended = person.run(line)
        if ended.exit_code:
            assert ended.exit_code in (1, 2) and "done" in ended.message, ended.errors
            assert ended.document["error"]["code"] not in ("internal", "system")
            assert person.state() == before
            return
        before = person.state()


@pytest.mark.parametrize("name", ["devices/quick.yaml", "store.sqlite"])
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "garbage"])
def test_a_file_of_the_home_that_is_damaged(person: Person, name: str, kind: str) -> None:
    person.replace(person.home / name, kind)
    ended = person.run("profile --device quick --archs 1")
    assert ended.exit_code in (1, 2) and name.rpartition("/")[2] in ended.message, ended.errors
    assert ended.document["error"]["code"] in ("device-profile", "store")
