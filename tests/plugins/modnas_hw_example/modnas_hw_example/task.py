"""Grey images of 8x8 pixels with stripes in one of four directions, under noise; all generated."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from modnas.tasks import Split, Task, image_task

CLASSES, SIDE, TRAIN, TEST = 4, 8, 800, 400


def stripes(data_dir: Path | None, seed: int, limit: int | None) -> Task:
    """800 images to train with, a quarter of them for validation, and 400 to test; no folder is read."""
    pool, test = _images(TRAIN, seed=1), _images(TEST, seed=2)
    return image_task("stripes", CLASSES, pool, test, valid_share=0.25, seed=seed, limit=limit)


def _images(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    angles = (labels * math.pi / CLASSES)[:, None, None]
    phases = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    waves: Tensor = torch.sin(1.5 * (row * angles.cos() + column * angles.sin()) + phases)
    noisy = waves + torch.randn(count, SIDE, SIDE, generator=generator)
    return Split(((noisy + 4) * 32).clamp(0, 255).to(torch.uint8).unsqueeze(1), labels)
