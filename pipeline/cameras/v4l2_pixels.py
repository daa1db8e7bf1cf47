"""From a V4L2 buffer's bytes to pixels, by the four characters of its format. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.frame import PixelFormat

_JPEG_END = b"\xff\xd9"


def pixels_of(
    data: NDArray[np.uint8],
    name: str,
    pixel_format: PixelFormat,
    *,
    width_px: int,
    height_px: int,
    row_bytes: int,
) -> NDArray[np.uint8] | None:
    """A copy as uint8 (H, W) or (H, W, 3); None if the bytes are not a whole picture.

    `data` are the bytes in use, `name` is one of `accepted_formats`, `row_bytes` those from one row to the
    next (0 for MJPG, which has no rows).
    """
    if name == "MJPG":
        return _jpeg(data, pixel_format, width_px, height_px)
    if data.size < row_bytes * height_px:
        return None
    rows = data[: row_bytes * height_px].reshape(height_px, row_bytes)
    converted = CONVERTIBLE[pixel_format][name](rows, width_px)
    return np.array(converted, np.uint8, order="C")


def _first_plane(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    return rows[:, :width_px]


def _even_bytes(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    return rows[:, : 2 * width_px : 2]


def _odd_bytes(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    return rows[:, 1 : 2 * width_px : 2]


def _rgb(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    return rows[:, : 3 * width_px].reshape(rows.shape[0], width_px, 3)


def _bgr(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    return _rgb(rows, width_px)[..., ::-1]


def _from_yuv422(code: int) -> Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]:
    def convert(rows: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
        pairs = np.ascontiguousarray(rows[:, : 2 * width_px]).reshape(rows.shape[0], width_px, 2)
        return np.asarray(cv2.cvtColor(pairs, code), np.uint8)

    return convert


def _jpeg(
    data: NDArray[np.uint8], pixel_format: PixelFormat, width_px: int, height_px: int
) -> NDArray[np.uint8] | None:
    if not data.tobytes().rstrip(b"\0").endswith(_JPEG_END):  # a decoder fills what is cut off with grey
        return None
    flag = cv2.IMREAD_GRAYSCALE if pixel_format == "Mono8" else cv2.IMREAD_COLOR
    decoded = cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.shape[:2] != (height_px, width_px):
        return None
    return np.asarray(
        decoded if pixel_format == "Mono8" else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8
    )


# Best first: as it is, then what costs a conversion; JPEG last, it loses detail.
CONVERTIBLE: dict[PixelFormat, dict[str, Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]]] = {
    "Mono8": {
        "GREY": _first_plane,
        "NV12": _first_plane,
        "NV21": _first_plane,
        "NV16": _first_plane,
        "YU12": _first_plane,
        "YV12": _first_plane,
        "YUYV": _even_bytes,
        "UYVY": _odd_bytes,
    },
    "RGB8": {
        "RGB3": _rgb,
        "BGR3": _bgr,
        "YUYV": _from_yuv422(cv2.COLOR_YUV2RGB_YUYV),
        "UYVY": _from_yuv422(cv2.COLOR_YUV2RGB_UYVY),
    },
}


def accepted_formats(pixel_format: PixelFormat) -> tuple[str, ...]:
    """The device formats that give `pixel_format`, best first."""
    return (*CONVERTIBLE[pixel_format], "MJPG")
