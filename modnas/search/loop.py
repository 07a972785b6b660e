"""One search from where it stands to its end."""

from __future__ import annotations

from collections.abc import Callable

from modnas.search.search import Search
from modnas.search.stats import EpochStats, Validation

OnEpoch = Callable[[EpochStats, Validation | None], None]
OnWarmup = Callable[[], None]
BeforeEpoch = Callable[[], None]


def run_to_end(
    search: Search,
    validate_every: int = 1,
    *,
    on_epoch: OnEpoch = lambda stats, validation: None,
    on_warmup: OnWarmup = lambda: None,
    before_epoch: BeforeEpoch = lambda: None,
) -> None:
    """Run the epochs that are left; of the states that were validated the best is kept (see `Search.front`).

    Args:
        validate_every: epochs from one validation to the next; the last epoch is always followed by one.
        on_epoch: told of each epoch, and of its validation if it had one.
        on_warmup: called after each warm-up epoch.
        before_epoch: called before each epoch, while nothing is trained.
    """
    while not search.warm:
        search.run_warmup_epoch()
        on_warmup()
    while not search.finished:
        before_epoch()
        stats = search.run_epoch()
        due = search.finished or search.epoch % validate_every == 0
        on_epoch(stats, search.validate() if due else None)
