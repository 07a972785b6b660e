"""What a message advises is executed as it stands, and then the command that failed has another outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from attack_table import SIZE, Person, advised

from harness.runs.run import Run
from harness.study import Study
from modnas.spaces import get_space

OTHER_SIZE = "--set channels=3 --set cells=1 --set input=1x8x8"
ADD = "devices add tab --ssh u@127.0.0.1:1"


@dataclass(frozen=True)
class Advice:
    """A command that fails, and what its advice leads to.

    Attributes:
        begins: of the command that is advised.
        meant: what a person puts in the place of its words in capitals.
        exit_code: what the command ends with afterwards.
    """

    line: str
    begins: str
    meant: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = 0

    def __str__(self) -> str:
        return self.line


ADVICES = [
    Advice(
        f"features --device tab --metric energy {SIZE}",
        "dataset import FILE --device tab",
        {"FILE": "energy.csv"},
    ),
    Advice("front --run done --device quick", "features --device quick"),
    Advice("front --run begun --device tab", "search --run begun"),
    Advice(f"dataset build {OTHER_SIZE}", "features --device NAME", {"NAME": "quick"}),
    Advice(f"dataset show {SIZE}", "dataset build"),
    Advice(f"dataset show --metric energy {SIZE}", "dataset build", exit_code=2),
    Advice(f"predictor predict --device tab {SIZE}", "predictor train"),
    Advice(ADD, "dataset remove --device tab", exit_code=3),
    Advice(
        "search --devices tab --preset atom --accuracy published --evaluations 10 --run new --no-verify",
        "dataset import FILE --task digits",
        {"FILE": "errors.csv"},
    ),
]


def write_tables(work: Path) -> None:
    """Energies of the references, and errors of networks of the size that is searched."""
    space = get_space("nasbench201", channels=2, cells=1, classes=10, input_shape=(1, 8, 8))
    lines = [
        f"{arch.string},{1 + number % 7}\n"
        for number, arch in enumerate(dict.fromkeys([*space.references, *space.all()[::300]]))
    ]
    (work / "energy.csv").write_text("arch,value\n" + "".join(lines))
    lines = [f"{arch.string},{5 + number % 60}\n" for number, arch in enumerate(space.all()[::50])]
    (work / "errors.csv").write_text("arch,value\n" + "".join(lines))


@pytest.mark.parametrize("advice", ADVICES, ids=str)
def test_what_is_advised_changes_the_outcome(person: Person, advice: Advice) -> None:
    write_tables(person.work)
    before = person.run(advice.line)
    assert before.exit_code != 0
    (command,) = advised(before.message)
    assert command.startswith(f"modnas-hw {advice.begins}"), before.message
    for word, meant in advice.meant.items():
        command = command.replace(word, meant)
    followed = person.run(command.removeprefix("modnas-hw "))
    if advice.exit_code != 2:
        assert followed.exit_code == 0, followed.errors
        after = person.run(advice.line)
    else:  # that in turn advises what is missing
        after = followed
        assert advised(after.message)
    assert after.exit_code == advice.exit_code and after.outcome != before.outcome, after.errors


SEARCHES = [
    "--preset atom",
    "--preset atom --seed 7 --scheme mean --estimator gdas --refine 3 --constraint latency=0.25",
    "--preset atom --objectives error,latency,energy --constraint energy=0.5",
    "--preset atom --accuracy surrogate --evaluations 11 --choice random --no-refine",
    "--preset pixels --bfloat16 --accelerator cpu",
]


@pytest.mark.parametrize("options", SEARCHES)
def test_the_command_that_continues_a_run_is_the_one_that_began_it(
    person: Person, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    write_tables(person.work)
    for device in ("tab", "spare"):
        table = f"energy.csv --device {device} --metric energy {SIZE}"
        assert person.run(f"dataset import {table}").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Study, "measure", end)
        assert person.run(f"search --devices tab,spare --run mine {options}").exit_code == 130
    config = Run.open("mine").config
    told = person.run("front --run mine --device tab")
    (command,) = advised(told.message)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "measure", end)
        assert person.run(command.removeprefix("modnas-hw ")).exit_code == 130, "with no complaint before"
    assert Run.open("mine").config == config
