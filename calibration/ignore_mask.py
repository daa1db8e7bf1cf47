"""The mask of a region of interest: a PNG beside its file, not zero where the image is ignored."""

from __future__ import annotations

import io
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from calibration.images import DAMAGED, stored_mode
from calibration.record import CalibrationError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MASK_MODES = ("1", "L", "RGB")


def mask_bytes(path: Path, name: str | None) -> bytes | None:
    """Bytes of the mask that a region's file at `path` names; None if it names none.

    Raises:
        CalibrationError: the name is not that of a PNG beside the file, or it cannot be read.
    """
    if name is None:
        return None
    if PurePath(name).name != name or "\0" in name or not name.lower().endswith(".png"):
        raise CalibrationError(
            f"{path}: ignore_mask: found {name!r}, expected the name of a PNG file beside it, no folder."
        )
    try:
        return (path.parent / name).read_bytes()
    except OSError as error:
        raise CalibrationError(
            f"{path}: ignore_mask {name}: cannot be read ({error.strerror}). Copy it beside {path.name}."
        ) from error


def decode_mask(data: bytes, size_px: tuple[int, int], *, where: str) -> NDArray[np.bool_]:
    """Pixels that are ignored: (height, width) bool, true where the mask's file is not zero.

    Args:
        data: bytes of a PNG, 1-bit, 8-bit grey or RGB.
        size_px: (height, width) that it must have.
        where: named in the errors.

    Raises:
        CalibrationError: it is damaged, of another kind or of another size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            mode = stored_mode(image)  # only before the load
            if (
                image.height,
                image.width,
            ) != size_px:  # before it is unpacked, which may be huge
                raise _size_fault(where, (image.height, image.width), size_px)
            image.load()
            values = np.asarray(image)
    except DAMAGED as error:
        raise CalibrationError(
            f"{where}: cannot be decoded ({error}), expected a PNG. Save it again."
        ) from error
    if mode not in _MASK_MODES:
        raise CalibrationError(
            f"{where}: found pixels of kind {mode!r}, expected 1-bit, 8-bit grey or RGB. Convert it."
        )
    return np.asarray(values != 0 if values.ndim == 2 else (values != 0).any(axis=2))


def _size_fault(where: str, found: tuple[int, int], expected: tuple[int, int]) -> CalibrationError:
    return CalibrationError(
        f"{where}: found {found[0]}x{found[1]} pixels, expected {expected[0]}x{expected[1]} "
        "(height x width), as the image. Draw it on the raw image."
    )
