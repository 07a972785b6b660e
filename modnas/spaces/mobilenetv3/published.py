"""Networks as once-for-all's and HELP's files describe them: `{"ks": […], "e": […], "d": […], "r": 224}`.

Source: Cai et al., "Once for All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020,
and its code's `set_active_subnet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from modnas.core.architecture import ArchitectureError
from modnas.spaces.mobilenetv3.choices import TOTAL
from modnas.spaces.mobilenetv3.network import STAGES

_EXAMPLE = (
    '{"ks": 5, "e": 4, "d": 3, "r": 224}, each one number or a list: 20 kernels, 20 expansions, 5 depths'
)


class Lists(NamedTuple):
    """20 kernels, 20 expansions, 5 depths, as numbers, and the input's side in pixels."""

    kernels: list[int]
    expansions: list[int]
    depths: list[int]
    side: int


def read_lists(content: object) -> Lists | None:
    """The decisions in one of these mappings; None for what is none.

    One number stands for as many, as it does there. What else a mapping has, such as a measured latency, does
    not count.

    Raises:
        ArchitectureError: a list is missing or has other than whole numbers, or the widths are chosen.
    """
    if not isinstance(content, Mapping) or not {"ks", "e", "d"} & content.keys():
        return None
    if content.get("wid") not in (None, 0):
        raise ArchitectureError(f"wid is {content['wid']!r}; the width is the space's, leave it out")
    (side,) = _whole(content, "r", 1)
    return Lists(
        _whole(content, "ks", TOTAL), _whole(content, "e", TOTAL), _whole(content, "d", STAGES), side
    )


def _whole(content: Mapping[object, object], key: str, count: int) -> list[int]:
    given = content.get(key)
    values = given if isinstance(given, (list, tuple)) else [given] * count
    if len(values) != count or not all(type(value) is int for value in values):
        raise ArchitectureError(f"{key} is {given!r}; expected {_EXAMPLE}")
    return [*values]
