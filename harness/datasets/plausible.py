"""Whether the values of a table can all be of one unit: each beside the others, known devices and the work.

Networks of one space differ by their work, and a device's values follow it. On 31 published devices what the
work does not explain spans a factor of 23 at most; of ten networks drawn at random, two neighbours in that
order are hardly ever more than 5 apart. A unit that is wrong in some rows sets them apart by a thousand. So
values are put in the order of what the work leaves over, and cut where the next one is far away; one of the
pieces is believed, the rows of the others are doubted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from modnas.spaces import Space

Floats = NDArray[np.float64]
# Pieces of a table are so far apart at least, and none is wider, as factors.
_GAP, _SPAN = 20.0, 300.0
# What a device takes beside the work, of the median reference's work.
_OVERHEAD = 0.2
# Architectures that two devices must share for one to tell of the other.
_SHARED = 3
# Of several devices' levels, those between these quantiles: one may be wrong itself.
_MOST = (0.1, 0.9)
# Names of a unit's thousandths and thousandfolds: a value that is a thousand times too large is in the first.
_UNITS = {
    "ms": {1: "us", 2: "ns", -1: "s"},
    "mj": {1: "uJ", 2: "nJ", -1: "J", -2: "kJ"},
    "mb": {1: "kB", 2: "bytes", -1: "GB"},
}
# By metric, an inference's fixed share, what a multiply-add adds, and how far from that devices commonly are:
# 10^10 multiply-adds a second (a core of a small board has 10^9, a GPU 10^12), 1 nJ each.
_USUAL = {"latency": (0.05, 1e-7, 10.0), "energy": (0.05, 1e-6, 100.0)}


@dataclass(frozen=True)
class Doubt:
    """A value that cannot be of the unit that the others are of; `expected` is what they suggest."""

    arch: str
    value: float
    expected: float

    def text(self, unit: str) -> str:
        """In words, as in `5300 ms is about 1000 times too large (5.2 expected; is it in us?)`."""
        factor = self.value / self.expected
        thousands = round(math.log10(factor) / 3)
        name = _UNITS.get(unit, {}).get(thousands)
        near = abs(math.log10(factor) - 3 * thousands) < 1
        times = 1000.0 ** abs(thousands) if name and near else float(f"{max(factor, 1 / factor):.1g}")
        guess = f"; is it in {name}?" if name and near else ""
        size = "large" if factor > 1 else "small"
        about = f"{self.value:.6g} {unit} is about {times:.6g} times too {size}"
        return f"{about} ({self.expected:.3g} expected{guess})"


@dataclass(frozen=True)
class Judgement:
    """What is said of the rows of a table.

    Attributes:
        doubts: rows that do not fit those believed, in the order of the table.
        believed: how many rows fit each other, and their smallest and largest value.
        why: beside what they are most plausible.
        by_stored: whether that is what is stored of the device.
        off: by which factor all that is believed lies outside of what is usual; 1 inside.
    """

    doubts: tuple[Doubt, ...]
    believed: tuple[int, float, float]
    why: str
    by_stored: bool
    off: float


@dataclass(frozen=True)
class _Level:
    """Where the values of a device usually are, on the logarithmic scale that the work is taken off."""

    low: float
    high: float
    why: str

    def off(self, level: float) -> float:
        """How far outside, signed."""
        return level - min(max(level, self.low), self.high)


class Plausibility:
    """What to expect of one metric in a space.

    Args:
        peers: values of other devices by canonical string, by device; those that contradict themselves do not
            count.
    """

    def __init__(self, space: Space, metric: str, peers: Sequence[Mapping[str, float]] = ()) -> None:
        self._space, self._metric, self._peers = space, metric, peers
        self._known: dict[str, tuple[float, bool]] = {}

    def judge(self, values: Mapping[str, float], stored: Mapping[str, float]) -> Judgement:
        """Judge a table's values, positive, by canonical string, beside what is stored of the device."""
        archs = [*values, *(arch for arch in stored if arch not in values)]
        logs = np.log([values.get(arch, stored.get(arch, 1.0)) for arch in archs])
        is_new = np.arange(len(archs)) < len(values)
        shape, counts, level = self._expected(archs)
        left = logs - shape
        pieces = _pieces(left, counts)
        believed, why = _believed(left, pieces, ~is_new, level)
        middle = float(np.median(left[believed]))
        fits = np.zeros(len(archs), bool)
        fits[believed] = True
        # A network that does not see its input may be deleted whole by a runtime; that makes none slower.
        fits |= ~counts & (left < left[believed].max() + math.log(_GAP))
        doubts = [
            Doubt(archs[row], float(np.exp(logs[row])), float(np.exp(shape[row] + middle)))
            for row in np.flatnonzero(is_new & ~fits)
        ]
        kept = logs[believed]
        seen = (len(believed), float(np.exp(kept.min())), float(np.exp(kept.max())))
        off = float(np.exp(level.off(middle))) if level else 1.0
        return Judgement(tuple(doubts), seen, why, bool(stored) and not is_new.all(), off)

    def _expected(self, archs: Sequence[str]) -> tuple[Floats, NDArray[np.bool_], _Level | None]:
        """The shape of a device's values, as logarithms; which rows say something; the usual level."""
        work, usable = self._structure(archs)
        counts = usable if usable.any() else np.ones(len(archs), bool)
        lines = self._lines(archs, work, counts)
        if not len(lines):
            return work, counts, self._usual_level(work, counts)
        levels = np.nanmedian(lines, axis=1)
        seen = ~np.isnan(lines).all(axis=0)
        shape = work.copy()
        shape[seen] += np.nanmedian((lines - levels[:, None])[:, seen], axis=0)
        low, high = np.quantile(levels, _MOST)
        several = f"the {len(lines)} other devices have" if len(lines) > 1 else "the other device has"
        return shape, counts, _Level(float(low), float(high), f"what {several}")

    def _lines(self, archs: Sequence[str], work: Floats, counts: NDArray[np.bool_]) -> Floats:
        """What the work leaves over of each peer that can be believed, NaN for no value: (peers, n)."""
        found = []
        for peer in self._peers:
            line = np.log([peer.get(arch, math.nan) for arch in archs]) - work
            there = counts & ~np.isnan(line)
            if there.sum() >= _SHARED and len(_pieces(line, there)) == 1:
                found.append(np.where(counts, line, math.nan))
        return np.array(found)

    def _structure(self, archs: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
        """Logarithm of the work with its overhead, zeros where that is not known; and what is usable."""
        unknown = [arch for arch in archs if arch not in self._known]
        if unknown:
            parsed = [self._space.parse(arch) for arch in unknown]
            amounts = self._space.multiply_adds(parsed)
            logs = np.zeros(len(unknown)) if amounts is None else np.log(amounts.numpy() + self._overhead)
            usable = [self._space.is_usable(architecture) for architecture in parsed]
            self._known.update(zip(unknown, zip(logs.tolist(), usable, strict=True), strict=True))
        rows = [self._known[arch] for arch in archs]
        return np.array([row[0] for row in rows]), np.array([row[1] for row in rows], bool)

    @cached_property
    def _overhead(self) -> float:
        amounts = self._space.multiply_adds(self._space.references)
        return 0.0 if amounts is None else _OVERHEAD * float(np.median(amounts.numpy()))

    def _usual_level(self, work: Floats, counts: NDArray[np.bool_]) -> _Level | None:
        if not self._overhead or self._metric not in _USUAL:
            return None
        fixed, by_unit, around = _USUAL[self._metric]
        amounts = np.exp(work[counts]) - self._overhead
        middle = float(np.median(np.log(fixed + by_unit * amounts) - work[counts]))
        reach = math.log(around)
        return _Level(middle - reach, middle + reach, "what is usual for networks of this size")


def _pieces(left: Floats, counts: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Rows that are near each other, in order of their values; those that do not count are in none."""
    rows = np.flatnonzero(counts)
    return _cut(left, rows[np.argsort(left[rows], kind="stable")])


def _cut(left: Floats, ordered: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    steps = np.diff(left[ordered])
    if not len(steps):
        return [ordered]
    widest = int(steps.argmax())
    if steps[widest] < math.log(_GAP) and left[ordered[-1]] - left[ordered[0]] < math.log(_SPAN):
        return [ordered]
    return [*_cut(left, ordered[: widest + 1]), *_cut(left, ordered[widest + 1 :])]


def _believed(
    left: Floats, pieces: list[NDArray[np.int64]], stored: NDArray[np.bool_], level: _Level | None
) -> tuple[NDArray[np.int64], str]:
    """The piece that is right, most probably, and why: the stored one, the usual one, the largest."""
    if stored.any():
        return max(pieces, key=lambda rows: (stored[rows].sum(), len(rows))), "what is stored of the device"
    if level is None:
        return max(pieces, key=len), "most rows"
    return min(pieces, key=lambda rows: (abs(level.off(float(np.median(left[rows])))), -len(rows))), level.why
