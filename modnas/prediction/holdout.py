"""Judging a MetaPredictor on measured architectures that its fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modnas.prediction import metrics
from modnas.prediction.measured import DeviceTable
from modnas.prediction.meta import fit_predictor
from modnas.spaces import Space


def judge_on_holdout(
    space: Space, tables: Sequence[DeviceTable], share: float, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Figures for each device of a predictor fitted without `share` of the architectures.

    The same architectures are held out on every device; references never are, since they describe the device.

    Returns:
        By device: `spearman`, `kendall`, `hit_rate` (share within 10 %), `mean_relative_error`, `coverage`
        (share inside the 90 % interval) and `architectures`, the number of those held out.

    Raises:
        ValueError: a device has fewer than two architectures to hold out.
    """
    references = set(space.references)
    everything = dict.fromkeys(a for table in tables for a in table.architectures if a not in references)
    order = np.random.default_rng(seed).permutation(len(everything))
    candidates = list(everything)
    held = {candidates[i] for i in order[: max(2, round(share * len(candidates)))]}
    fitted = fit_predictor(space, [_part(table, held, keep=False) for table in tables], seed=seed)
    figures = {}
    for table in tables:
        judged = _part(table, held, keep=True)
        if len(judged.architectures) < 2:
            raise ValueError(f"{table.name}: too few measured architectures to hold some out")
        guess, true = fitted.predict(judged.architectures, table.features), np.asarray(judged.values)
        figures[table.name] = {
            "spearman": metrics.spearman(guess.value, true),
            "kendall": metrics.kendall(guess.value, true),
            "hit_rate": metrics.hit_rate(guess.value, true),
            "mean_relative_error": metrics.mean_relative_error(guess.value, true),
            "coverage": float(((guess.lower <= true) & (true <= guess.upper)).mean()),
            "architectures": float(len(true)),
        }
    return figures


def _part(table: DeviceTable, held: set[object], *, keep: bool) -> DeviceTable:
    """The rows of a table that are held out (`keep`), or the others."""
    return table.rows([i for i, a in enumerate(table.architectures) if (a in held) == keep])
