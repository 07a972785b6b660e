"""Quality of a set of points in objective space. Every objective is minimised.

Points and references are arrays of shape (n, M). Scale them first with `scale`, with one pair of bounds for
all sets that are compared. GD and IGD are means of distances; the plus variants are those of Ishibuchi et al.
(2015).
"""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def scale(points: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Min-max scaling, (points - low) / (high - low) per objective; a range of zero width counts as one."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    width = np.where(high > low, high - low, 1.0)
    return np.asarray((np.asarray(points, dtype=np.float64) - low) / width)


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Mask of shape (n,): True where no other point is at least as good everywhere and better somewhere.

    Of equal points all are kept.
    """
    values = np.asarray(points, dtype=np.float64)
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(values, keep_weakly=True), dtype=np.bool_)


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike | None = None) -> float:
    """Volume dominated by the points up to `reference`, (1, ..., 1) unless given. Larger is better.

    Points that do not lie below the reference in every objective add nothing; no points have volume 0.
    """
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0:
        return 0.0
    corner = np.ones(values.shape[1]) if reference is None else np.asarray(reference, dtype=np.float64)
    return float(moocore.hypervolume(values, ref=corner))


def gd(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Mean distance of the points to the nearest reference point. Smaller is better.

    As of all distances here: shapes (n, M) and (m, M); raises ValueError if a set is empty.
    """
    found, target = _two_sets(points, reference)
    return float(moocore.igd(target, ref=found))  # the inverted distance with the two sets exchanged


def igd(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Mean distance of the reference points to the nearest point. Smaller is better."""
    found, target = _two_sets(points, reference)
    return float(moocore.igd(found, ref=target))


def gd_plus(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """`gd` with the distance || max(point - reference, 0) ||: only being worse counts."""
    found, target = _two_sets(points, reference)
    # Exchanged, the points are what is worse by being smaller: as if they were maximised.
    return float(moocore.igd_plus(target, ref=found, maximise=True))


def igd_plus(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """`igd` with the distance || max(point - reference, 0) ||: only being worse counts."""
    found, target = _two_sets(points, reference)
    return float(moocore.igd_plus(found, ref=target))


def _two_sets(points: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Floats, Floats]:
    found, target = np.asarray(points, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if found.size == 0 or target.size == 0:
        raise ValueError("a distance between sets needs at least one point in each")
    return found, target
