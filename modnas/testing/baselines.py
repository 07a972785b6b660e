"""What every baseline must do: spend its budget exactly, say what it evaluated, repeat itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from modnas.baselines import Models, Problem, get_method
from modnas.core.architecture import Architecture
from modnas.spaces import get_space


def check_baseline(
    name: str, *, problem: Callable[[], Problem] | None = None, budgets: Sequence[int] = (1, 10)
) -> None:
    """Check a baseline.

    Args:
        problem: makes the same problem anew, for one that needs more of it than objectives.
        budgets: numbers of evaluations to give it.

    Raises:
        AssertionError: it does not do what a baseline must; the message says what.
    """
    method, make = get_method(name), problem or made_up_problem
    for budget in budgets:
        given = make()
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
        found = method(given, budget, seed=3)
        after = torch.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
        assert torch.equal(before[0], after[0]), "PyTorch's global random state was used"
        assert bool((before[1] == after[1]).all()), "NumPy's global random state was used"
        assert len(found) == len(set(found)) == budget, f"{len(found)} architectures for a budget of {budget}"
        assert found == given.evaluated, "it returns something else than it evaluated, or in another order"
        unusable = [one.id for one in found if not given.space.is_usable(one)]
        assert not unusable, f"it evaluated {unusable[0]}, which computes nothing of its input"
        assert method(make(), budget, seed=3) == found, "the same problem and seed gave another result"


def made_up_problem() -> Problem:
    """Two objectives that disagree on small networks: sums of fixed random values of the options chosen.

    Its models know them exactly.
    """
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    values = np.random.default_rng(0).uniform(0.5, 1.5, (space.width, 2))
    columns = torch.as_tensor(values, dtype=torch.float32).unbind(1)

    def measure(architectures: Sequence[Architecture]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        sums: np.ndarray[tuple[int, int], np.dtype[np.float64]] = (
            space.encode(architectures).double().numpy() @ values
        )
        return sums

    models = Models(lambda onehot: onehot @ columns[1], lambda onehot: onehot @ columns[0])
    references = measure(space.references)[:, 1]
    return Problem(space, "made-up", measure, references, models=lambda seed: models)
