"""Things by name, with packages that are laid out as pip installs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modnas.baselines import get_method, method_names
from modnas.core.errors import InputError
from modnas.core.registry import PluginError, Registry, UnknownNameError
from modnas.spaces import get_space, space_names
from modnas.tasks import TASK_NAMES, TaskError, get_task, task_names
from modnas.tasks.data_files import data_files

THINGS: Registry[type] = Registry(
    "thing", "modnas_test.things", {"b": "json:JSONDecoder", "a": "csv:Sniffer"}
)


def test_built_in_names_keep_their_order_and_others_follow_sorted(install_package) -> None:
    assert THINGS.names() == THINGS.built_in == ["b", "a"]
    install_package(
        "extra-things", "modnas_test.things", {"z": "A", "m": "A"}, "raise SystemExit('imported')"
    )
    assert THINGS.names() == ["b", "a", "m", "z"], "listing imports nothing"


def test_a_built_in_thing_wins(install_package) -> None:
    install_package("other", "modnas_test.things", {"a": "A"}, "class A: ...")
    assert THINGS.load("a").__module__ == "csv" and THINGS.origin("a") is None


def test_another_packages_thing_is_found(install_package) -> None:
    install_package("extra-things", "modnas_test.things", {"new": "A"}, "class A: ...")
    assert THINGS.load("new").__module__ == "extra_things"
    assert THINGS.origin("new") == "extra-things 1.2"


def test_an_unknown_name_lists_the_known_ones(install_package) -> None:
    install_package("extra-things", "modnas_test.things", {"new": "A"})
    with pytest.raises(UnknownNameError) as raised:
        THINGS.load("c")
    assert str(raised.value) == "no thing 'c'; known: b, a, new"
    assert isinstance(raised.value, InputError) and isinstance(raised.value, KeyError)


@pytest.mark.parametrize(
    "code", ["import no_such_module", "1 / 0", "def broken(:", "A = 3", "raise ValueError('two\\nlines')", ""]
)
def test_what_cannot_be_used_names_its_package_in_one_line(install_package, code: str) -> None:
    install_package("bad-things", "modnas_test.things", {"bad": "A"}, code)
    with pytest.raises(PluginError, match=r"bad-things 1\.2") as raised:
        THINGS.load("bad")
    assert "\n" not in str(raised.value)
    assert THINGS.load("a"), "the others are not affected"


def test_two_packages_with_one_name_are_both_named(install_package) -> None:
    install_package("first", "modnas_test.things", {"same": "A"}, "class A: ...")
    install_package("second", "modnas_test.things", {"same": "A"}, "class A: ...")
    assert THINGS.names().count("same") == 1
    with pytest.raises(PluginError, match=r"first 1\.2 and second 1\.2"):
        THINGS.load("same")


def test_spaces_tasks_and_baselines_of_other_packages(install_package) -> None:
    install_package(
        "mine-space",
        "modnas.spaces",
        {"mine": "Mine", "nothing": "nothing"},
        "from modnas.spaces.nasbench201.space import NasBench201\n"
        "class Mine(NasBench201):\n    name = 'mine'\n"
        "def nothing():\n    return 3\n",
    )
    install_package(
        "mine-task",
        "modnas.tasks",
        {"my-digits": "make"},
        "from modnas.tasks.digits import digits\n"
        "def make(data_dir, seed, limit):\n    return digits(seed, limit)\n",
    )
    install_package(
        "mine-method",
        "modnas.baselines",
        {"first": "run"},
        "def run(problem, budget, seed):\n    return list(problem.space.references[:budget])\n",
    )
    assert "mine" in space_names() and get_space("mine", channels=8).name == "mine"
    with pytest.raises(PluginError, match="mine-space"):
        get_space("nothing")
    assert task_names() == [*TASK_NAMES, "my-digits"]
    assert get_task("my-digits", limit=100).classes == 10
    assert "first" in method_names() and callable(get_method("first"))


def test_data_of_another_packages_task_are_its_folder_or_its_version(install_package, tmp_path: Path) -> None:
    install_package("mine-task", "modnas.tasks", {"mine": "make"}, "def make(data_dir, seed, limit): ...")
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    (folder / "b.bin").write_bytes(b"1")
    (folder / "inner" / "a.bin").write_bytes(b"2")
    assert data_files("mine", folder) == (folder, ["b.bin", "inner/a.bin"], "")
    assert data_files("mine").names == [] and "mine-task 1.2" in data_files("mine").reading
    with pytest.raises(TaskError, match="mine"):
        data_files("no-such-task")


def test_names_of_spaces_are_listed_without_pytorch() -> None:
    code = (
        "import sys\nfrom modnas.core.registry import Registry\n"
        "assert Registry('thing', 'modnas.spaces', {'a': 'torch:nn'}).names()\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
