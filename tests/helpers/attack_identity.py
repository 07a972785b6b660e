"""Data folders, an imported table that stands for a device, and commands that take no time on them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.cli import main
from harness.presets import Preset, Recipe
from modnas.spaces import get_space
from modnas.spaces.nasbench201.presets import PRESETS

CLASSES = ("cat", "dog")
#: What replaces an image and keeps its size: files of this format have as many bytes as pixels.
SUFFIX = "bmp"


def add_presets() -> None:
    """Presets called `atom`, searches of which take about a second."""
    PRESETS["atom"] = Preset(
        space={"channels": 2, "cells": 1},
        profile_archs=10,
        batch_size=8,
        threads=1,
        task_limit=100,
        search={"epochs": 2, "steps_per_epoch": 1, "smoothing": 10},
        front_size=2,
        recipe=Recipe(epochs=1),
    )
    PRESETS["pixels"] = PRESETS["atom"].model_copy(update={"task_side": 8})


def write_image(path: Path, seed: int) -> None:
    """An image of 8 x 8 random pixels; all of them have the same size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def image_data(folder: Path, seed: int = 0) -> Path:
    """An `image-folder` of two classes."""
    for split, count in (("train", 8), ("val", 3)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                numbers = (seed, split == "val", label, number)
                write_image(folder / split / name / f"{number}.{SUFFIX}", hash(numbers) % 2**32)
    return folder


def cifar_data(folder: Path) -> Path:
    """CIFAR-10 in its binary version, of 40 images to train with."""
    folder.mkdir(parents=True)
    for name, seed in (("data_batch_1.bin", 0), ("data_batch_2.bin", 1), ("test_batch.bin", 2)):
        records = np.random.default_rng(seed).integers(0, 256, (20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / name).write_bytes(records.tobytes())
    return folder


def fashion_data(folder: Path) -> Path:
    """Fashion-MNIST's files, of 40 images to train with."""
    folder.mkdir(parents=True)
    for prefix, count in (("train", 40), ("t10k", 20)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        header = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes()
        )
    return folder


class Lab:
    """A home with the table devices `tab` and `spare`, and commands run in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        add_presets()
        torch.set_num_threads(1)

    def command(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit code, what came on stdout, what came on stderr."""
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        output, errors = self._capsys.readouterr()
        return code, output, errors

    def start(self, before: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command in a process of its own, which runs the code `before` first."""
        lines = ["import sys", "from attack_identity import add_presets, main", "add_presets()", before]
        return subprocess.Popen(
            [sys.executable, "-c", "\n".join([*lines, "sys.exit(main())"]), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def document(self, *arguments: str | Path) -> Any:
        """The JSON document of a command that succeeds."""
        code, output, errors = self.command(*arguments, "--json")
        assert code == 0, errors
        return json.loads(output)

    def refusal(self, *arguments: str | Path, code: int = 2) -> str:
        """The one line of a command that is refused."""
        found, output, errors = self.command(*arguments)
        assert (found, output) == (code, ""), errors
        assert errors.startswith("error: ") and errors.count("\n") == 1, errors
        return errors

    def import_table(self, device: str, shape: str, scale: float = 1.0, count: int = 40) -> None:
        """A table of latencies of networks for inputs of this shape, such as 3x8x8."""
        classes = 10 if shape != "3x8x8" else len(CLASSES)
        sizes = ["channels=2", "cells=1", f"classes={classes}", f"input={shape}"]
        space = get_space("nasbench201", channels=2, cells=1, classes=classes)
        some = space.sample(count, torch.Generator().manual_seed(0))
        archs = dict.fromkeys([*space.references, *some])
        rows = [f"{arch.string},{scale * (1 + number % 7)}" for number, arch in enumerate(archs)]
        file = self.folder / f"{device}-{shape}.csv"
        file.write_text("arch,value\n" + "\n".join(rows) + "\n")
        options = [part for size in sizes for part in ("--set", size)]
        self.document("dataset", "import", file, "--device", device, *options)

    def runs(self) -> list[str]:
        """Names of the runs there are."""
        return sorted(path.name for path in (self.folder / "home" / "runs").iterdir())


def search(task: str, data: Path | str | None, *more: str, device: str = "tab") -> Sequence[str | Path]:
    """A search's command."""
    preset = "pixels" if task == "image-folder" else "atom"
    where = () if data is None else ("--data-dir", data)
    return "search", "--task", task, *where, "--devices", device, "--preset", preset, "--no-verify", *more
