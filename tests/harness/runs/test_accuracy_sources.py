"""Where a run's accuracies come from, and which networks are evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

import harness
from harness import Study
from harness.cli import main
from harness.runs.run import Run
from harness.runs.search import open_search
from harness.store import Store
from modnas.spaces import Architecture

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("fake_agents")]


@pytest.mark.slow
def test_a_function_of_the_users_says_accuracies(tiny_preset: str) -> None:
    asked: list[Architecture] = []

    def errors(architectures: Sequence[Architecture]) -> list[float]:
        asked.extend(architectures)
        return [5.0 + sum(a.choices) for a in architectures]

    with Study(preset=tiny_preset, accuracy=errors, evaluations=12, name="mine") as study:
        front = study.search()["cpu"]
        assert len(set(asked)) == len(asked) == 12
        verified = study.verify("cpu")
    space = harness.space("nasbench201")
    for entry in verified["architectures"]:
        assert entry["measured"]["error"] == 5.0 + sum(space.parse(entry["arch"]).choices)
    with Store() as store:
        assert store.counts()["evaluations"] == 0, "nothing was trained"
    with Study.open("mine") as study:
        assert study.front("cpu")["architectures"] == front
        assert study.search()["cpu"] == front, "all that it says is known"
        with pytest.raises(harness.UsageError, match="function"):
            study.verify("cpu")


CODE = """
from harness import ComputedAccuracy

class Choices(ComputedAccuracy):
    def errors(self, architectures):
        return [5.0 + sum(a.choices) for a in architectures]

class training(Choices): ...
"""


@pytest.mark.slow
def test_a_source_of_another_package(
    tiny_preset: str, install_package: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_package(
        "own-errors", "modnas_hw.accuracies", {"choices": "Choices", "training": "training"}, CODE
    )
    command = ["search", "--devices", "cpu", "--preset", tiny_preset, "--evaluations", "12", "--run", "mine"]
    assert main([*command, "--accuracy", "choices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    space = harness.space("nasbench201")
    for entry in found["verification"]["cpu"]["architectures"]:
        assert entry["measured"]["error"] == 5.0 + sum(space.parse(entry["arch"]).choices)
    run = Run.open("mine")
    assert run.load_state("surrogate")[1]["judged_on"] == "choices"
    assert (run.config.evaluated_by, run.config.accuracy_function) == ("choices", "own-errors 1.2")
    document = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**document, "accuracy_function": "own-errors 1.1"}))
    assert main(["verify", "--run", "mine", "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert "own-errors 1.1" in told and "own-errors 1.2" in told
    assert main(["front", "--run", "mine", "--device", "cpu"]) == 0, "what was found can be read"
    assert main([*command[:-1], "other", "--accuracy", "training"]) == 2, "that is what runs call another"
    assert main([*command[:-1], "other", "--accuracy", "nope"]) == 2
    assert "supernet, surrogate, published, choices" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [[1.0], [120.0] * 12, [float("nan")] * 12])
def test_what_is_no_error_is_refused(wrong: list[float], tiny_preset: str) -> None:
    with Study(preset=tiny_preset, accuracy=lambda _: wrong, evaluations=12) as study:
        study.measure()
        with pytest.raises(harness.UsageError, match="percent"):
            study.fit()


@pytest.mark.slow
def test_the_choice_is_part_of_the_run(tiny_preset: str) -> None:
    chosen = {}
    for choice in ("active", "random"):
        command = ["search", "--devices", "cpu", "--preset", tiny_preset, "--accuracy", "surrogate"]
        command += ["--evaluations", "12", "--choice", choice, "--run", choice, "--no-verify"]
        assert main(command) == 0
        run = Run.open(choice)
        assert run.config.choice == choice
        chosen[choice] = set(run.load_state("surrogate")[1]["evaluated"])
        assert len(chosen[choice]) == 12
    assert chosen["active"] != chosen["random"]
    assert main(["search", "--devices", "cpu", "--accuracy", "surrogate", "--choice", "best"]) == 2


@pytest.mark.slow
def test_without_refinement_fronts_are_what_the_hypernetwork_says(tiny_preset: str) -> None:
    command = ["search", "--devices", "cpu", "--preset", tiny_preset, "--no-verify", "--run", "mine"]
    assert main([*command, "--no-refine"]) == 0
    run = Run.open("mine")
    with Store() as store:
        state = open_search(run, store)
        written = run.read_json("front.json")["devices"]["cpu"]
        points = state.search.front(state.search.devices[0].features)
    assert [entry["arch"] for entry in written] == list(dict.fromkeys(p.architecture.id for p in points))


def test_runs_from_before_keep_their_names_and_go_on(tiny_preset: str) -> None:
    with Study(preset=tiny_preset) as study:
        identity = study.config.identity
    assert not {"choice", "evaluated_by", "accuracy_function"} & set(identity)
