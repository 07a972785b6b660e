"""One image file to a normalised array: read in any mode, cut, scaled to a square."""

from __future__ import annotations

import math
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from modnas.tasks.errors import TaskError, shown

# Mean and standard deviation of ImageNet's colours in [0, 1], which published networks are trained with.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
SD = np.array([0.229, 0.224, 0.225], np.float32)

# Random numbers in [0, 1) that fix how an image is augmented: area, aspect, left, top, mirrored.
DRAWS = 5

# Judged on 224 of the 256 pixels that the shorter side is scaled to, as is usual with ImageNet.
_CENTRE = 224 / 256
# Trained on parts of such areas and aspects (Szegedy et al., "Going Deeper with Convolutions", 2015).
_SMALLEST_AREA, _LARGEST_ASPECT = 0.08, 4 / 3

# Of an image, as its header says; a JPEG may have as many as Pillow opens, 179 million.
MOST_PIXELS = 1 << 26
# Pillow's advice for programs, from half of its limit on; whoever gave the image can do nothing with it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Box = tuple[float, float, float, float]


def central_box(width: int, height: int) -> Box:
    """(left, top, right, bottom) of the square in the middle that an image is judged on, in pixels."""
    side = _CENTRE * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(width: int, height: int, draws: Sequence[float]) -> Box:
    """(left, top, right, bottom) of a part of random area, aspect and place, in pixels.

    A part that would be wider or higher than the image is cut to it.

    Args:
        draws: the first four of DRAWS numbers.
    """
    area = (_SMALLEST_AREA + (1 - _SMALLEST_AREA) * draws[0]) * width * height
    aspect = _LARGEST_ASPECT ** (2 * draws[1] - 1)
    across, down = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
    left, top = draws[2] * (width - across), draws[3] * (height - down)
    # Pillow refuses a box that rounding has moved out of the image.
    return left, top, min(width, left + across), min(height, top + down)


def decode(path: str, side: int, draws: Sequence[float] | None = None) -> NDArray[np.float32]:
    """The image in a file, normalised: (3, side, side).

    Args:
        draws: DRAWS numbers in [0, 1) for a random part, mirrored half of the time; None: the central square.

    Raises:
        TaskError: the file cannot be read as an image of 8 or 16 bits a channel.
    """
    try:
        image = _read(path, side, draws)
    except Exception as error:  # Pillow's readers raise whatever they come across in a damaged file
        raise TaskError(
            f"cannot read the image {shown(path)} ({_reason(error)}): replace the file"
        ) from error
    pixels = np.asarray(image, np.float32) / np.float32(255)
    return ((pixels - MEAN) / SD).transpose(2, 0, 1)


def flaw(path: str) -> str | None:
    """Why `decode` cannot read a file; None where it can.

    The file is decoded like for a batch, but to one pixel. A JPEG is thereby scaled to an eighth while it is
    decoded, for which all of it is read: where it ends too early that is noticed as well.
    """
    try:
        _read(path, 1, None)
    except Exception as error:
        return _reason(error)
    return None


def _read(path: str, side: int, draws: Sequence[float] | None) -> Image.Image:
    if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would wait for its other end
        raise ValueError("no file")
    with Image.open(path) as opened:
        _check_size(opened)
        # A photo much larger than what is cut out of it is decoded at a half, quarter or eighth.
        opened.draft(None, (4 * side, 4 * side))
        image = _as_rgb(ImageOps.exif_transpose(opened))
    box = central_box(*image.size) if draws is None else random_box(*image.size, draws)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box)
    return ImageOps.mirror(image) if draws is not None and draws[4] < 0.5 else image


def _check_size(image: Image.Image) -> None:
    """Refuse by its header what would take over half a GB. A JPEG is decoded at a fraction of its size."""
    pixels = math.prod(image.size)
    if image.format != "JPEG" and pixels > MOST_PIXELS:
        raise ValueError(f"{pixels:,} pixels are too many, at most {MOST_PIXELS:,} are read")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text is the path once more
        return "no image that can be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel have no known range")
    if image.mode.startswith("I;16"):  # Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    if "transparency" in image.info:  # else Pillow warns that it is lost
        image = image.convert("RGBA")
    return image.convert("RGB")
