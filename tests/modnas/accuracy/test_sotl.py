"""Sum of training losses: the average, and the choice that is made by it."""

from __future__ import annotations

import pytest

from modnas.accuracy import sotl


def test_later_epochs_count_by_the_decay() -> None:
    assert sotl.score([2.0, 1.0]) == pytest.approx(0.9 * 2 + 0.1 * 1)
    assert sotl.score([2.0, 1.0, 0.0]) == pytest.approx(0.9 * (0.9 * 2 + 0.1 * 1))
    assert sotl.score([1.5] * 30) == pytest.approx(1.5)


def test_only_the_first_epochs_count() -> None:
    start = [2.0 - 0.1 * epoch for epoch in range(12)]
    assert sotl.score([*start, 100.0]) == sotl.score(start)
    assert sotl.score(start, epochs=3) == sotl.score(start[:3])


def test_faster_learning_scores_better() -> None:
    assert sotl.score([2.3, 1.0, 0.8]) < sotl.score([2.3, 1.8, 1.5])


def test_keeps_what_no_other_beats() -> None:
    assert sotl.kept([1.0, 2.0, 3.0, 1.5], [[4.0], [2.0], [2.5], [4.5]]) == [0, 1]
    assert sotl.kept([1.0], [[1.0]]) == [0]


def test_no_losses() -> None:
    with pytest.raises(ValueError, match="no training loss"):
        sotl.score([])
