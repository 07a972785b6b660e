"""The agent's folder: what in it is the agent's, and taking that away without touching anything else.

A name counts only in its exact form, and only as the kind of thing that it is made as. A link is never the
agent's and is never followed. The host sends this module to boards and runs it there by itself,
`python - VERB ...`, so that it imports nothing of the agent's.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import sys
import tarfile
from pathlib import Path
from typing import Iterator, Mapping, Sequence

FILE, FOLDER, OTHER = "file", "folder", "other"

#: Says that a folder is the agent's. Folders that earlier versions made have an archive instead.
MARKER = ".modnas-agent.json"
#: In a runtime's folder: what was installed there, see `record`.
LIST = ".modnas-files.json"
ARTIFACTS, JOURNAL, WAITING = "artifacts", "journal", "waiting"
#: How many of the names that were left are told.
MOST_TOLD = 200

_PART = r"(\.[0-9a-f]{8}\.part)?"
#: How a backend is called in names here: three as the first version wrote them, others with a prefix that no
#: file of a person's is likely to have.
_BACKEND = r"(onnxruntime|torch|tvm|backend-[a-z][a-z0-9_]{0,31})"
_RUNTIME = rf"runtime-{_BACKEND}-[0-9a-f]{{12}}"
ARCHIVE = re.compile(r"modnas_agent-[0-9a-f]{12}\.pyz")
MANIFEST = re.compile(rf"install-{_BACKEND}\.json")
#: An upload that a lost link cut off is no less the agent's.
_EVIDENCE = re.compile(rf"{re.escape(MARKER)}|{ARCHIVE.pattern}{_PART}")
_FILES = re.compile(
    rf"({re.escape(MARKER)}|{ARCHIVE.pattern}|{MANIFEST.pattern}|{_RUNTIME}\.tar\.gz){_PART}"
    r"|agent\.lock|agent\.log"
)
TREE = re.compile(rf"{_RUNTIME}(\.part)?")
#: Named by their content, by a hash of their request.
ARTIFACT = re.compile(rf"[0-9a-f]{{64}}(\.[A-Za-z0-9]+){{1,3}}{_PART}")
ENTRY = re.compile(r"[0-9a-f]{40}\.(json|[0-9]+\.tmp)")
#: Named by when it was made, in nanoseconds, and by chance.
TICKET = re.compile(r"[0-9]{20}-[0-9a-f]{8}")
_CONTENTS = {ARTIFACTS: ARTIFACT, JOURNAL: ENTRY, WAITING: TICKET}
_BYTECODE = re.compile(r"(.+?)\.[A-Za-z]+-[0-9]+(\.opt-[12])?\.pyc")


def backend_part(backend: str) -> str:
    """How a backend is called in the names of its manifest and of its runtime's folder."""
    return backend if re.fullmatch(_BACKEND, backend) else f"backend-{backend}"


def kind_of(mode: int) -> str:
    """What an `lstat` mode is of."""
    return FILE if stat.S_ISREG(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER


def is_agents(kinds: Mapping[str, str]) -> bool:
    """Whether a folder with these entries (name -> kind) was made by the agent or for it."""
    return any(kind == FILE and _EVIDENCE.fullmatch(name) is not None for name, kind in kinds.items())


def in_the_way(kinds: Mapping[str, str]) -> list[str]:
    """Names that the agent uses for files or folders, of entries that are something else."""
    wanted = {
        name: FOLDER if name in _CONTENTS or TREE.fullmatch(name) else FILE
        for name in kinds
        if name in _CONTENTS or TREE.fullmatch(name) or _FILES.fullmatch(name)
    }
    return sorted(name for name, kind in wanted.items() if kinds[name] != kind)


def entries(folder: Path) -> dict[str, str]:
    """Kinds of what lies in a folder, by name; raises OSError."""
    return {path.name: kind_of(path.lstat().st_mode) for path in folder.iterdir()}


def remove(folder: Path, names: Sequence[str] = ()) -> list[str]:
    """Remove what is the agent's from its folder; paths of what was left, relative to it.

    Args:
        names: only these of the folder's entries; without them everything, the marker last, so that what was
            interrupted can be repeated.
    """
    left = []
    for name, kind in sorted(entries(folder).items(), key=lambda item: item[0] == MARKER):
        if not names or name in names:
            left += _remove_entry(folder / name, kind)
    return sorted(left)


def _remove_entry(path: Path, kind: str) -> list[str]:
    name = path.name
    if kind == FILE and _FILES.fullmatch(name):
        path.unlink()
        return []
    if kind == FOLDER and TREE.fullmatch(name):
        return [f"{name}/{inner}" for inner in remove_tree(path)]
    if kind != FOLDER or name not in _CONTENTS:
        return [name]
    for inner, what in entries(path).items():
        if what == FILE and _CONTENTS[name].fullmatch(inner):
            (path / inner).unlink()
    return [] if _remove_empty(path) else [f"{name}/{inner}" for inner in entries(path)]


def _remove_empty(path: Path) -> bool:
    """Remove a folder with nothing in it; whether it is gone."""
    try:
        path.rmdir()
    except OSError:
        return False
    return True


def record(tree: Path) -> None:
    """Note what lies in a runtime's folder, all of which was just installed."""
    files: list[str] = []
    folders: list[str] = []
    for place, kind in _walk(tree):
        if place != LIST:
            (folders if kind == FOLDER else files).append(place)
    (tree / LIST).write_text(json.dumps({"files": files, "folders": folders}), encoding="utf-8")


def remove_tree(tree: Path) -> list[str]:
    """Remove a runtime's folder except for what somebody else put there; paths of that, relative to it.

    A folder without a list of its content was not installed to its end, or by an earlier version: all of it
    goes.
    """
    known = _recorded(tree)
    if known is None:
        shutil.rmtree(str(tree))
        return []
    files, folders = known
    left = []
    for place, kind in _walk(tree):
        path = tree / place
        if kind != FOLDER and (place in files or _is_bytecode_of(files, path, place)):
            path.unlink()
        elif kind == FOLDER and (place in folders or path.name == "__pycache__"):
            _remove_empty(path)
        elif place != LIST:
            left.append(place)
    if left:
        return sorted(left)
    (tree / LIST).unlink()
    tree.rmdir()
    return []


def _recorded(tree: Path) -> tuple[set[str], set[str]] | None:
    try:
        content = json.loads((tree / LIST).read_text(encoding="utf-8"))
        return set(content["files"]), set(content["folders"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _walk(tree: Path, above: str = "") -> Iterator[tuple[str, str]]:
    """Path relative to the tree, and kind, of everything in it; a folder after its content."""
    for name, kind in sorted(entries(tree).items()):
        if kind == FOLDER:
            yield from _walk(tree / name, f"{above}{name}/")
        yield f"{above}{name}", kind


def _is_bytecode_of(files: set[str], path: Path, place: str) -> bool:
    """Whether a file is what Python left of a module when somebody imported it."""
    match = _BYTECODE.fullmatch(path.name)
    if match is None or path.parent.name != "__pycache__":
        return False
    return place[: -len(f"__pycache__/{path.name}")] + f"{match[1]}.py" in files


def clear(tree: Path) -> None:
    """Make room for a runtime's folder. Ends the program when something in it is somebody else's."""
    if tree.is_dir() and not tree.is_symlink():
        left = remove_tree(tree)
        if left:
            sys.exit(f"{tree} holds files that are not the agent's ({left[0]}); move them away")


def unpack(archive: Path, tree: Path, sha256: str) -> None:
    """Put a runtime that came as a .tar.gz into its folder, and delete the archive."""
    partial = tree.with_name(f"{tree.name}.part")
    try:
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
        if digest.hexdigest() != sha256:
            sys.exit("the file is not what was sent; try again, and suspect the disk")
        clear(partial)
        with tarfile.open(str(archive)) as tar:
            tar.extractall(str(partial))
        record(partial)
        clear(tree)
        partial.rename(tree)
    finally:
        archive.unlink()
        clear(partial)


def take_away(folder: Path) -> list[str]:
    """Remove everything of the agent's and, when it is empty then, the folder; what was left in it."""
    left = remove(folder)
    # Nobody's home is removed, however empty it is.
    if not left and not is_home(folder):
        _remove_empty(folder)
    return left


def is_home(folder: Path) -> bool:
    """Whether a folder is this user's home or above it."""
    home, path = Path.home().resolve(), folder.resolve()
    return path == home or path in home.parents


def main(arguments: Sequence[str]) -> int:
    """Do what is asked.

    Prints one JSON object: `count` of the things left and the first of them, `left`, and whether the folder
    is there still, `there`.
    """
    verb, folder, rest = arguments[0], Path(arguments[1]), arguments[2:]
    left: list[str] = []
    try:
        if verb == "remove":
            left = remove(folder, rest)
        elif verb == "take-away":
            left = take_away(folder)
        elif verb == "unpack":
            unpack(Path(rest[0]), folder, rest[1])
        elif verb == "record":
            record(folder)
        else:
            clear(folder)
    except OSError as error:
        print(f"{error.filename or folder}: {error.strerror or error}", file=sys.stderr)
        return 1
    there = folder.exists() or folder.is_symlink()
    answer = {"left": left[:MOST_TOLD], "count": len(left), "there": there}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
