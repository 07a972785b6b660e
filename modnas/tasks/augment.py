"""Random shifts, flips and cutout of image batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augment:
    """Shift every image by up to `shift` pixels each way, mirror half of them, blank one square of each.

    Pixels that come from outside, and the blank square, are 0: the mean of normalised images.

    Args:
        shift: largest shift in pixels; 0 for none.
        flip: mirror left and right with probability one half.
        cutout: side of the blank square in pixels; 0 for none.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """`images`: (n, channels, height, width). Randomness comes from `generator` (on the CPU)."""
        n, channels, height, width = images.shape
        device = images.device

        def draw(low: int, high: int) -> Tensor:
            return torch.randint(low, high, (n, 1), generator=generator).to(device)

        rows = torch.arange(height, device=device).expand(n, height)
        columns = torch.arange(width, device=device).expand(n, width)
        if self.flip:
            columns = torch.where(draw(0, 2) == 1, width - 1 - columns, columns)
        if self.shift:
            images = pad(images, [self.shift] * 4)
            rows = rows + draw(0, 2 * self.shift + 1)
            columns = columns + draw(0, 2 * self.shift + 1)
        picked = images[
            torch.arange(n, device=device).view(n, 1, 1, 1),
            torch.arange(channels, device=device).view(1, channels, 1, 1),
            rows.view(n, 1, height, 1),
            columns.view(n, 1, 1, width),
        ]
        if self.cutout:
            # The centre may lie anywhere, so that the square is partly outside for some images.
            blank = _within(draw(0, height), height, self.cutout).unsqueeze(2) & _within(
                draw(0, width), width, self.cutout
            ).unsqueeze(1)
            picked = picked.masked_fill(blank.unsqueeze(1), 0.0)
        return picked


def _within(centre: Tensor, length: int, side: int) -> Tensor:
    """Which of `length` positions lie in the interval of `side` pixels around `centre`: (n, length)."""
    offset = torch.arange(length, device=centre.device) - (centre - side // 2)
    return (offset >= 0) & (offset < side)
