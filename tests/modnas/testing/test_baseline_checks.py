"""The built-in baselines pass what is asked of other packages', and the check finds what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modnas.testing import check_baseline


@pytest.mark.parametrize("name", ["rs", "nsga2", "re", "ls", "ofa", "hat", "proxyless", "lemonade"])
def test_built_in_baselines_conform(name: str) -> None:
    check_baseline(name, budgets=(1, 6))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return problem.unseen(budget, rng(seed))", "something else than it evaluated"),
        ("return done(problem, problem.unseen(budget + 1, rng(seed)))", "budget of 1"),
        ("return done(problem, problem.unseen(budget, rng(None)))", "gave another result"),
        ("np.random.rand(); return done(problem, problem.unseen(budget, rng(seed)))", "NumPy's global"),
    ],
)
def test_what_is_wrong_with_a_baseline_is_said(
    install_package: Callable[..., None], body: str, says: str
) -> None:
    code = f"""
import numpy as np
rng = np.random.default_rng
def done(problem, found):
    problem.evaluate(found)
    return found
def run(problem, budget, seed):
    {body}
"""
    install_package("own-baseline", "modnas.baselines", {"own": "run"}, code)
    with pytest.raises(AssertionError, match=says):
        check_baseline("own")
