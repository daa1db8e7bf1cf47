"""Image files, found and decoded strictly: damaged, 16-bit or of an odd kind is an error, never a guess."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from calibration.record import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# Pillow's modes that are ours as they are stored; everything else would need a conversion, which is refused.
_CHANNELS = {"L": 1, "RGB": 3}
# What Pillow's readers raise for files that are cut off or damaged.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ImageFileError(CalibrationError):
    """A file is not a whole 8-bit grey or RGB image; the message names it and says what to do."""


class DamagedImageError(ImageFileError):
    """A file is missing, cut off, damaged or no image at all."""


def list_images(directory: Path) -> list[Path]:
    """Image files of a directory, subdirectories included, sorted by path; empty if there are none."""
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as it is stored: uint8, (H, W) if it is grey, (H, W, 3) if it is RGB.

    Nothing is scaled, turned by EXIF or converted. Of a multi-page TIFF the first page is read. A JPEG
    damaged in the middle cannot be told from a whole one: it has no checksum.

    Raises:
        DamagedImageError: missing, cut off, damaged or not an image.
        ImageFileError: its pixels are not 8-bit grey or RGB.
    """
    try:
        with Image.open(path) as image:
            stored = stored_mode(image)  # only before the load
            image.load()  # before the kind is judged: a cut header can make it look like another one
            _channels(path, stored)
            return np.asarray(image, dtype=np.uint8)
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def image_format(path: Path) -> tuple[int, int, int]:
    """Height, width and channels of an image, from its header only.

    Raises:
        ImageFileError: as `decode_image`, as far as the header tells.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width, _channels(path, stored_mode(image))
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def _channels(path: Path, stored: str) -> int:
    if stored not in _CHANNELS:
        raise ImageFileError(
            f"{path}: found pixels of kind {stored!r}, expected 8-bit grey ('L') or colour ('RGB'). "
            "Convert the file."
        )
    return _CHANNELS[stored]


def stored_mode(image: Image.Image) -> str:
    """The mode as stored: Pillow reads 16-bit RGB as 8-bit without a word, only the raw mode tells."""
    for tile in getattr(image, "tile", ()):
        raw_mode = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw_mode, str) and ";16" in raw_mode:
            return raw_mode
    return image.mode


def _unreadable(path: Path, error: Exception) -> DamagedImageError:
    return DamagedImageError(
        f"{path}: cannot be decoded ({error}), expected a whole image file. Copy it again or remove it."
    )
