"""Hardware in the loop: which networks a search has measured while it runs, and when.

What a search asks its predictors about is near its fronts, where a random sample of a space has hardly
anything. So it stops a few times, and of all that refining the present fronts looks at it has those measured
that may better a front most under what is believed of their metrics; then it goes on with what is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modnas.search import indicators
from modnas.search.devices import SearchDevice
from modnas.search.measuring import choose
from modnas.search.reading import FrontReader
from modnas.search.refinement import Values, select
from modnas.spaces import Architecture

# A search stops so often, after equal parts of its epochs.
ROUNDS = 3


def schedule(epochs: int, count: int, rounds: int = ROUNDS) -> dict[int, int]:
    """By the number of epochs before a stop how many networks of each device are to be measured after it.

    There are at most as many stops as networks and as parts between epochs; a search of one epoch stops
    before it.

    Args:
        epochs: of the search.
        count: networks to measure on each device in all.
    """
    stops = min(rounds, count, max(1, epochs - 1))
    return {epochs * stop // (stops + 1): count * stop // stops for stop in range(1, stops + 1)}


def next_networks(
    reader: FrontReader,
    device: SearchDevice,
    deviations: Callable[[Sequence[Architecture]], Values],
    measured: Mapping[Architecture, Sequence[float]],
    count: int,
    *,
    others: Sequence[Architecture] = (),
    plain: bool = True,
    there: Callable[[Architecture], bool] = lambda architecture: True,
) -> list[Architecture]:
    """Which networks to measure next on a device of a search, at most `count`.

    Args:
        deviations: how uncertain what the device predicts is, (n, M - 1), in its units.
        measured: metrics of networks that were measured on the device, minimised, in its units.
        others: networks that are thought of too, besides what the refinement looks at.
        plain: as of `refinement.refine`.
        there: whether an architecture can be measured.
    """
    low, high = device.low.tolist(), device.high.tolist()
    met, values = reader.looked_at(device, others, plain=plain)
    can_be = [i for i, architecture in enumerate(met) if there(architecture)]
    if not can_be:
        return []
    met, values = [met[i] for i in can_be], values[can_be]
    scaled = {a: tuple(indicators.scale([of], low, high)[0].tolist()) for a, of in measured.items()}
    return choose_networks(
        met,
        values,
        indicators.scale(deviations(met), np.zeros(len(low)), np.subtract(high, low)),
        scaled,
        count=count,
        size=reader.search.config.front_size,
    )


def choose_networks(
    met: Sequence[Architecture],
    values: Values,
    deviations: Values,
    measured: Mapping[Architecture, Sequence[float]],
    *,
    count: int,
    size: int,
) -> list[Architecture]:
    """Which networks to measure next on a device, at most `count`.

    For each metric in turn budgets are laid between the members of the front that is expected; measured are
    the networks that may better the answer to one (see `measuring.choose`), and where there are too few of
    them, those that are least certain.

    Args:
        met: what refining the front has looked at, each once.
        values: its objectives, all minimised and scaled alike, (n, M); of what was measured its prediction.
        deviations: how uncertain the metrics are, on the same scale, (n, M - 1).
        measured: the measured metrics of networks, on the same scale.
        size: members of a front, at most.
    """
    front = select(values, size)
    found: list[int] = []
    metrics = values.shape[1] - 1
    known = {i: measured[a] for i, a in enumerate(met) if a in measured}
    for metric in range(metrics):
        # What is left is shared among the metrics that are left.
        share = -(-(count - len(found)) // (metrics - metric))
        # Those that are measured anyway, as if that was known already: others are worth more beside them.
        seen = {i: float(of[metric]) for i, of in known.items()}
        seen |= {i: float(values[i, 1 + metric]) for i in found}
        budgets = _between(np.sort(values[front, 1 + metric]))
        mean, deviation = values[:, 1 + metric], deviations[:, metric]
        chosen = choose(mean, deviation, values[:, 0], budgets, seen, share)
        left = [
            i for i in np.argsort(-deviation, kind="stable").tolist() if i not in seen and i not in chosen
        ]
        found += [*chosen, *left][:share]
    return [met[i] for i in found]


def _between(members: Values) -> list[float]:
    """Budgets between neighbours of a front, given by a metric in rising order, and the largest of them."""
    middle: list[float] = ((members[:-1] + members[1:]) / 2).tolist()
    return [*middle, float(members[-1])]
