"""Whatever an agent says: no programming error, no lie in the store, no wait beyond the limits."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from attack_frames import LATENCY, PROFILE, Lab
from fake_agent import BREAKS, ENDLESS, LIES, TRUTH, WORDS

Attack = Callable[..., Lab]


def test_the_truth_is_stored(attack: Attack) -> None:
    lab = attack(TRUTH)
    ended = lab.run(*PROFILE, "--json")
    assert ended.code == 0, ended.errors
    (row,) = lab.rows()
    assert (row["status"], row["latency_ms"], row["latency_n"]) == ("ok", 1.1, 21)
    assert (row["energy_mj"], row["memory_mb"], row["max_abs_diff"]) == (2.2, 50.0, 1e-6)
    assert json.loads(row["record"])["load_time_ms"] == 5.0
    assert json.loads(row["record"])["applied"] == {"threads": 1, "cpus": [0]}, "what is not known is kept"


@pytest.mark.parametrize("mode", LIES)
def test_a_result_that_cannot_be_true_is_a_failed_row(attack: Attack, mode: str) -> None:
    lab = attack(mode)
    ended = lab.run(*PROFILE, "--json")
    assert ended.code == 1, ended.errors
    (row,) = lab.rows()
    assert (row["status"], row["reason"]) == ("error", "implausible")
    assert row["message"].startswith("the agent's result cannot be true: ")
    figures = ("latency_ms", "latency_p10_ms", "latency_n", "energy_mj", "memory_mb", "max_abs_diff")
    assert [row[name] for name in figures] == [None] * 6
    assert len(row["record"]) < 2000
    (told,) = json.loads(ended.output)["measurements"]
    assert told["message"] == row["message"]


@pytest.mark.parametrize("mode", [mode for mode in LIES if "energy" not in mode][::8])
def test_an_agent_that_lies_about_everything_is_unavailable(attack: Attack, mode: str) -> None:
    lab = attack(mode, always=True)
    ended = lab.run(*PROFILE, "--json")
    ended.assert_unavailable()
    assert lab.rows() == []
    assert "known to work fails: implausible" in ended.said


@pytest.mark.parametrize("mode", WORDS)
@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_words_reach_nobody_as_they_are(attack: Attack, mode: str, form: list[str]) -> None:
    lab = attack(mode)
    ended = lab.run(*PROFILE, *form)
    assert ended.code in (0, 1)
    (row,) = lab.rows()
    assert row["latency_ms"] == (1.1 if row["status"] == "ok" else None)
    assert "\\u001b" not in row["record"] + row["request"]


@pytest.mark.parametrize("mode", BREAKS)
def test_what_is_no_conversation_makes_the_device_unavailable(attack: Attack, mode: str) -> None:
    lab = attack(mode)
    ended = lab.run(*PROFILE, "--json")
    ended.assert_unavailable()
    assert lab.rows() == []


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("mode", ENDLESS)
def test_what_would_go_on_for_ever_ends(attack: Attack, mode: str) -> None:
    lab = attack(mode)
    ended = lab.run(*(PROFILE if "sensor" in mode else LATENCY), "--json")
    ended.assert_unavailable()
    assert lab.rows() == []
    assert "answer" in ended.said or "sent nothing" in ended.said
