"""The decisions of the MobileNetV3 space: their order in an encoding, and the blocks they stand for."""

from __future__ import annotations

from collections.abc import Sequence

from modnas.spaces.mobilenetv3.network import BLOCKS, DEPTHS, EXPANSIONS, KERNELS, STAGES, Block

RESOLUTIONS = 25
TOTAL = STAGES * BLOCKS
# Where the kernels, the expansions and the resolution begin among the decisions.
KERNELS_AT, EXPANSIONS_AT, RESOLUTION_AT = STAGES, STAGES + TOTAL, STAGES + 2 * TOTAL
OPTIONS = (
    *[len(DEPTHS)] * STAGES,
    *[len(KERNELS)] * TOTAL,
    *[len(EXPANSIONS)] * TOTAL,
    RESOLUTIONS,
)
# Embedding tables of a MetaHypernetwork for two objectives, as (width, index of the preference), in the order
# of the encoding: depths, kernels, expansions, resolution. Source: the MODNAS paper, appendix D.2.
TABLES = (
    (STAGES * len(DEPTHS), 0),
    (TOTAL * len(KERNELS), 0),
    (TOTAL * len(EXPANSIONS), 0),
    (RESOLUTIONS, 0),
)


def blocks_of(choices: Sequence[int]) -> list[list[Block]]:
    """The blocks of the five stages; choices for blocks beyond a stage's depth do not count."""
    kernels, expansions = choices[KERNELS_AT:EXPANSIONS_AT], choices[EXPANSIONS_AT:RESOLUTION_AT]
    return [
        [
            Block(KERNELS[kernels[i]], EXPANSIONS[expansions[i]])
            for i in range(stage * BLOCKS, stage * BLOCKS + DEPTHS[depth])
        ]
        for stage, depth in enumerate(choices[:STAGES])
    ]
