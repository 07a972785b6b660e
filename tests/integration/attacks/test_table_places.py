"""Folders, stores and boards that cannot be used: one line with a code, and nothing has changed."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from attack_environment import mounted
from attack_table import LONG, SIZE, Person, Row

USAGE, TASK = (2, "usage"), (2, "task")
NOT_FOLDERS = ("tab.csv", "pipe", "socket", "loop", "dangling", "nothing")

#: Folders of data, tables and outputs.
FOLDERS = [
    *(
        Row(f"search --devices tab --task {task} --data-dir {name}", *TASK, says)
        for task, says in {
            "cifar10": "data_batch_*.bin",
            "image-folder": "train/<class>/",
            "fashion-mnist": "no folder",
        }.items()
        for name in ("tab.csv", "absent", "pipe", "loop")
    ),
    Row("search --devices tab --task fashion-mnist --data-dir folder", 2, "damaged-data", "train-images"),
    *(
        Row(f"search --devices tab --task {task} --data-dir {LONG}", *TASK, "File name too long")
        for task in ("cifar10", "image-folder", "fashion-mnist")
    ),
    *(
        Row(f"search --devices tab --task {task}", *TASK, "--data-dir")
        for task in ("cifar10", "image-folder")
    ),
    *(
        Row(f"{command} {name}", *USAGE, says)
        for command in (
            "baselines --data",
            "benchmark nasbench201 --data",
            "dataset import nasbench201 --from",
        )
        for name, says in {
            "absent": "modnas-hw dataset fetch nasbench201 --to absent",
            "folder": "modnas-hw dataset fetch nasbench201 --to folder",
            "tab.csv": "a file, not a folder",
            "loop": "lead in a circle",
            LONG: "shorter name",
        }.items()
    ),
    *(
        Row(f"{command} {name}", *USAGE, says)
        for command in ("benchmark ofa --data", "dataset import ofa --from")
        for name, says in {"absent": "modnas-hw dataset fetch ofa --to absent", "tab.csv": "a file"}.items()
    ),
    Row("benchmark hat --data absent", *USAGE, "modnas-hw dataset fetch hat --to absent"),
    Row("benchmark hat --data tab.csv", *USAGE, "a file, not a folder"),
    *(Row(f"front --run done --device tab --networks {name}", *USAGE, "no folder") for name in NOT_FOLDERS),
    Row(f"front --run done --device tab --networks {LONG}", *USAGE, "shorter name"),
    Row("front --run done --device tab --networks tab.csv/below", *USAGE, "a file, not a folder"),
    *(Row(f"dataset fetch ofa --to {name}", *USAGE, "cannot be written") for name in (*NOT_FOLDERS, LONG)),
]

#: Homes and stores, by the environment.
HOMES = [
    *(
        Row(line, *USAGE, says, {"MODNAS_HOME": f"{{work}}/{name}"})
        for line in ("devices list", f"profile --device cpu {SIZE}", "report --run done")
        for name, says in {
            "tab.csv": "no folder",
            "tab.csv/below": "Not a directory",
            "pipe": "no folder",
            "loop": "no folder",
            LONG: "File name too long",
        }.items()
    ),
    Row("devices list", *USAGE, "MODNAS_HOME", {"MODNAS_HOME": "/proc/modnas"}),
    Row("doctor extra", *USAGE, "extra", {"MODNAS_HOME": "/proc/modnas"}),
    *(
        Row("devices list", *USAGE, "sqlite:////FOLDER/FILE", {"MODNAS_STORE": address})
        for address in (
            "nonsense",
            "file.sqlite",
            "mysql://u:secret@host/db",
            "oracle+x://u:secret@host",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
        )
    ),
    *(
        Row("devices list", 1, "store", says, {"MODNAS_STORE": f"sqlite:///{address}"})
        for address, says in {
            "/proc/store": "unable to open",
            "{work}/folder": "unable to open",
            "{work}/absent/file": "unable to open",
            "{work}/tab.csv": "not a database",
            "{work}/pipe": "move away",
            "{work}/loop": "move away",
        }.items()
    ),
    Row(
        "devices list",
        1,
        "store",
        "start that server",
        {"MODNAS_STORE": "postgresql://u:secret@127.0.0.1:1/d"},
    ),
]

ADD = "devices add newboard --ssh"
CLOSED = "u@127.0.0.1:1"
#: Boards that are not there, or are named in no way that leads to one.
BOARDS = [
    *(
        Row(f"{ADD} {name}", *USAGE, "no SSH destination")
        for name in (
            '""',
            '"a b"',
            "-oProxyCommand=true",
            "u@h:99999",
            "u@",
            "@h",
            "'u@h;true'",
            "'u@$(true)'",
        )
    ),
    *(Row(f"{ADD} {name}", 3, "port-closed", "start sshd") for name in (CLOSED, "127.0.0.1:1", "u@[::1]:1")),
    Row(f"{ADD} u@no-such-host.invalid", 3, "host-name-unknown", "modnas-hw devices add NAME"),
    Row(f"{ADD} {CLOSED} --identity-file absent", *USAGE, "does not exist"),
    *(
        Row(f"{ADD} {CLOSED} --identity-file {name}", *USAGE, says)
        for name, says in {
            "folder": "no file",
            "pipe": "no file",
            "socket": "no file",
            "endless": "no file",
            "loop": "lead in a circle",
            LONG: "shorter name",
        }.items()
    ),
    *(
        Row(f"{ADD} {CLOSED} --known-hosts {name}", 3, "port-closed", "start sshd")
        for name in ("absent", "folder", "pipe", "endless")
    ),
    Row(f"{ADD} {CLOSED} --jump no-such-host.invalid", 3, "host-name-unknown", "no-such-host.invalid"),
    Row(f"{ADD} {CLOSED} --jump {CLOSED}", 3, "port-closed", "port 1"),
    Row(f"{ADD} {CLOSED} --jump a,b,c,d,e,f,g,h,i", *USAGE, "at most 8"),
    Row(f'{ADD} {CLOSED} --python ""', *USAGE, "python"),
    *(Row(f"{ADD} {CLOSED} --directory {name}", *USAGE, ".modnas-agent") for name in ('""', "/", "~")),
    Row(f"devices add tab --ssh {CLOSED}", *USAGE, "modnas-hw dataset remove --device tab"),
    Row(f"devices add quick --ssh {CLOSED}", *USAGE, "--force"),
    Row(f"devices add ../x --ssh {CLOSED}", *USAGE, "letters"),
    Row(f"devices add {LONG} --ssh {CLOSED}", *USAGE, "letters"),
    *(
        Row(f"{line} away", 3, "port-closed", "start sshd")
        for line in (
            "agent status --device",
            "agent install --device",
            "agent install --offline --device",
            "agent uninstall --device",
            "profile --device",
            "devices check",
            "features --device",
            "search --devices",
        )
    ),
    Row("agent status --device away --backend nope", 2, "device-profile", "onnxruntime"),
    *(
        Row(f"{line} tab", *USAGE, "imported table")
        for line in ("tune --device", "agent install --device", "agent status --device", "profile --device")
    ),
]


@pytest.mark.parametrize("row", [*FOLDERS, *HOMES], ids=str)
def test_a_folder_that_cannot_be_used(person: Person, row: Row) -> None:
    person.refused(row)


@pytest.mark.parametrize("row", BOARDS, ids=str)
def test_a_board_that_is_not_there(person: Person, row: Row) -> None:
    away = "name: away\ntransport: {ssh: {host: 127.0.0.1, port: 1, user: u}}\n"
    (person.home / "devices" / "away.yaml").write_text(away)
    person.refused(row)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("dataset build --out full/set.npz", "full/set.npz"),
        ("front --run done --device tab --networks full", "full"),
        ("dataset fetch ofa --mirror http://127.0.0.1:1/ --to full", "full"),
    ],
)
@pytest.mark.parametrize(("options", "says"), [("size=4k,nr_inodes=2", "No space left"), ("ro", "Read-only")])
def test_a_disk_that_takes_nothing(person: Person, line: str, place: str, options: str, says: str) -> None:
    assert person.run(f"front --run done --device tab --networks {person.folder / 'before'}").exit_code == 0
    with mounted(person.work / "full", options) as full:
        if options != "ro":
            with suppress(OSError):
                (full / "filling").write_bytes(bytes(1 << 20))
        before = person.state()
        ended = person.run(f"{line} {SIZE}" if line.startswith("dataset build") else line)
        assert ended.exit_code in (1, 2), ended.errors
        assert says in ended.message and place in ended.message, ended.errors
        assert person.state() == before
    assert os.path.lexists(person.folder / "before" / "networks.json")
