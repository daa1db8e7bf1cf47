"""Recorded images of a directory, served like a camera."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.images import (
    SUFFIXES,
    DamagedImageError,
    ImageFileError,
    decode_image,
    list_images,
)
from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.paced import PacedCamera, Picture

if TYPE_CHECKING:
    from pipeline.camera_config import FolderCameraConfig

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
        super().__init__(
            info, belt, make, camera_epoch=camera_epoch, encoder_counts=config.trigger.encoder_counts
        )


def _list_images(name: str, directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise CameraError(
            f"Folder camera {name}: found no directory {directory}, expected one with images. "
            "Set `directory` to it; a relative path starts at the working directory."
        )
    files = list_images(directory)
    if not files:
        raise CameraError(
            f"Folder camera {name}: found no image in {directory}, expected files ending in "
            f"{', '.join(SUFFIXES)}. Put images there or set another `directory`."
        )
    return files


def _check_first(name: str, path: Path) -> None:
    """Refuse a directory of the wrong kind of images now, instead of rejecting every part later."""
    try:
        decode_image(path)
    except DamagedImageError:
        return  # it stands for a part and gets its reject
    except ImageFileError as error:
        raise CameraError(f"Folder camera {name}: its first image: {error}") from error


def _picture(path: Path, source: str, info: CameraInfo) -> Picture:
    try:
        pixels = decode_image(path)
    except ImageFileError as error:
        _log.warning("camera %s: %s Its frame is marked incomplete.", info.name, error)
        shape = (info.height_px, info.width_px, 3)[: 2 if info.pixel_format == "Mono8" else 3]
        return Picture(np.zeros(shape, np.uint8), info.pixel_format, complete=False, source=source)
    return Picture(pixels, "Mono8" if pixels.ndim == 2 else "RGB8", source=source)
