"""Recorded images of a directory, served like a camera."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.paced import PacedCamera, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config import FolderCameraConfig
    from pipeline.frame import PixelFormat

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# Pillow's modes that are ours as they are stored; everything else would need a conversion, which is refused.
_FORMATS: dict[str, PixelFormat] = {"L": "Mono8", "RGB": "RGB8"}
# What Pillow's readers raise for files that are cut off or damaged.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_log = logging.getLogger(__name__)


class FolderCamera(PacedCamera):
    """Image files in the order of their paths, subdirectories included; `header.source` is the path.

    Pixels are served as they are stored: nothing is scaled, turned by EXIF or converted, so a file with
    another size, or with three channels where `Mono8` is configured (even if all three are equal), or the
    other way round, is delivered with the size and format FOUND in its header, for the station to reject.
    A file that is cut off, unreadable, 16-bit, or of any other kind (palette, alpha) is delivered with
    `complete=False` and black pixels of the configured format, and logged. Of a multi-page TIFF the first
    page is served. A JPEG damaged in the middle cannot be told from a whole one: it has no checksum.

    For the schedule and a late reader see `pipeline.cameras.belt`; with trigger source `software` no image
    is ever skipped. After the last one `read` raises `EndOfFramesError`, unless `loop` is set. The parts
    are not on the line now, so `simulated` is True.

    Raises:
        CameraError: the directory is missing, holds no image, or starts with an image that is not 8-bit.
    """

    def __init__(self, config: FolderCameraConfig, *, camera_epoch: int = 0) -> None:
        directory = Path(config.directory)
        files = _list_images(config.name, directory)
        _check_first(config.name, files[0])
        info = CameraInfo(
            name=config.name,
            kind="folder",
            vendor="HLGFA",
            model="recorded images",
            serial=directory.name or str(directory),
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=True,
            paced=True,
        )

        def make(index: int) -> Picture:
            path = files[index % len(files)]
            return _picture(path, path.relative_to(directory).as_posix(), info)

        belt = Belt(config.trigger.source, config.rate_hz, None if config.loop else len(files))
        super().__init__(info, belt, make, camera_epoch=camera_epoch)


def decode(path: Path) -> tuple[NDArray[np.uint8], PixelFormat]:
    """Read an 8-bit image: uint8, (H, W) for Mono8, (H, W, 3) for RGB8.

    Raises:
        CameraError: the file is cut off or unreadable, or its pixels are not 8-bit grey or RGB.
    """
    try:
        with Image.open(path) as image:
            stored = _stored_mode(image)
            if stored not in _FORMATS:
                raise CameraError(
                    f"{path}: found pixels of kind {stored!r}, expected 8-bit grey ('L') or colour ('RGB'). "
                    "Convert the images before they are served."
                )
            image.load()
            return np.asarray(image, dtype=np.uint8), _FORMATS[stored]
    except _DAMAGED as error:
        raise CameraError(f"{path}: cannot be decoded ({error}), expected a whole image file.") from error


def _stored_mode(image: Image.Image) -> str:
    """The mode as stored: Pillow reads 16-bit RGB as 8-bit without a word, only the raw mode tells."""
    for tile in getattr(image, "tile", ()):
        raw_mode = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
        if isinstance(raw_mode, str) and ";16" in raw_mode:
            return raw_mode
    return image.mode


def _list_images(name: str, directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise CameraError(
            f"Folder camera {name}: found no directory {directory}, expected one with images. "
            "Set `directory` to it; a relative path starts at the working directory."
        )
    files = sorted(
        path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not files:
        raise CameraError(
            f"Folder camera {name}: found no image in {directory}, expected files ending in "
            f"{', '.join(SUFFIXES)}. Put images there or set another `directory`."
        )
    return files


def _check_first(name: str, path: Path) -> None:
    """Refuse a directory that starts with 16-bit images now, instead of rejecting every part later."""
    try:
        with Image.open(path) as image:
            stored = _stored_mode(image)
    except _DAMAGED:
        return  # a damaged file stands for a part and gets its reject
    if ";16" in stored or stored in ("I", "F"):
        raise CameraError(
            f"Folder camera {name}: {path} has pixels of kind {stored!r}, expected 8-bit grey ('L') or "
            "colour ('RGB'). Convert the images before they are served."
        )


def _picture(path: Path, source: str, info: CameraInfo) -> Picture:
    try:
        pixels, pixel_format = decode(path)
    except CameraError as error:
        _log.warning("camera %s: %s Its frame is marked incomplete.", info.name, error)
        shape = (info.height_px, info.width_px, 3)[: 2 if info.pixel_format == "Mono8" else 3]
        return Picture(np.zeros(shape, np.uint8), info.pixel_format, complete=False, source=source)
    return Picture(pixels, pixel_format, source=source)
