"""Whether readings can be true: finite, of the right sign, within the sensor's bounds, never counting back.

An energy out of readings that cannot be true is not told at all; the errors here say why.
"""

from __future__ import annotations

import math
from typing import Sequence

from modnas_agent.energy.sensors.base import COUNTER, Bounds, Sample

#: Offset and noise of a sensor may turn the sign of a power near zero; relative to the largest reading.
NEGATIVE_SHARE = 0.05
#: A wrap lies on the way of the counter: the power it means is at most this often the largest between two
#: readings without one. What a reset does to a counter of a short range is told by that.
WRAP_FACTOR = 2.0


class EnergyError(Exception):
    """There is no trustworthy energy; the message says why."""


def check_plausible(samples: Sequence[Sample], quantity: str, bounds: Bounds) -> None:
    """Raises `EnergyError` where the readings of a window cannot be true.

    Args:
        samples: at least two, in the order of time, those of a counter with each value new.
        quantity: what the values are, `POWER` or `COUNTER`.
    """
    for sample in samples:
        if not math.isfinite(sample.value):
            raise EnergyError(f"the sensor told {sample.value}, which is no reading")
    if quantity == COUNTER:
        _check_counter(samples, bounds)
    else:
        _check_power([sample.value for sample in samples], bounds)


def _check_power(watts: Sequence[float], bounds: Bounds) -> None:
    if max(watts) > bounds.max_w:
        raise EnergyError(f"a reading of {max(watts):.4g} W, and {_at_most(bounds)}")
    if min(watts) < -NEGATIVE_SHARE * max(map(abs, watts)):
        raise EnergyError(f"the power is negative ({min(watts):.4g} W): {bounds.negative_why}")
    if max(watts) < bounds.min_w:
        raise EnergyError(
            f"no reading above {max(watts):.4g} W, and at least {bounds.min_w:g} W are plausible: "
            f"{bounds.min_why}"
        )


def _check_counter(samples: Sequence[Sample], bounds: Bounds) -> None:
    """A value may be as old as the usual time between two readings: a step may seem that much quicker."""
    length_s = samples[-1].time_s - samples[0].time_s
    usual_s = length_s / (len(samples) - 1)
    between = {True: [0.0], False: [0.0]}
    for before, now in zip(samples, samples[1:]):
        step_j = now.value - before.value
        if step_j < 0:
            raise EnergyError(
                f"the counter went back from {before.value:.6g} to {now.value:.6g} J: it was reset"
            )
        between[now.wrapped].append(step_j / (now.time_s - before.time_s + usual_s))
    of_wraps_w, others_w = max(between[True]), max(between[False])
    if of_wraps_w > min(bounds.max_w, WRAP_FACTOR * others_w):
        raise EnergyError(
            f"the counter was reset: it went back, and a wrap of its range would mean about "
            f"{2 * of_wraps_w:.4g} W, where otherwise it told {2 * others_w:.4g} W, and {_at_most(bounds)}"
        )
    mean_w = (samples[-1].value - samples[0].value) / length_s
    if max(others_w, mean_w) > bounds.max_w:
        raise EnergyError(
            f"the counter rose by about {max(2 * others_w, mean_w):.4g} W, and {_at_most(bounds)}"
        )


def _at_most(bounds: Bounds) -> str:
    hint = "max_w in power_sensor is for boards that take more"
    return f"at most {bounds.max_w:.4g} W are plausible ({bounds.max_why}; {hint})"
