"""From a device's pixel formats to the line's two. Pure: bytes in, an array out.

Names are those of the GenICam Pixel Format Naming Convention (PFNC) and of GigE Vision before it. More than
8 bits are cut to the upper 8: the lower ones are dropped, nothing is scaled or rounded. Packed formats:

- `p` (PFNC): pixels follow each other in the bit stream from the least significant bit on, across lines.
- `Packed` (GigE Vision): two pixels in three bytes; first and last byte are the pixels' upper 8 bits.

Bayer patterns are interpolated bilinearly (OpenCV). YUV 4:2:2: each pair of pixels has its pair's chroma,
full range as in JPEG: R = Y + 1.403 (V-128), G = Y - 0.714 (V-128) - 0.344 (U-128), B = Y + 1.773 (U-128).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.frame import PixelFormat

_DEPTHS = ("8", "10", "12", "10p", "12p", "10Packed", "12Packed", "16")
_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2RGB,
    "GR": cv2.COLOR_BayerGRBG2RGB,
    "GB": cv2.COLOR_BayerGBRG2RGB,
    "BG": cv2.COLOR_BayerBGGR2RGB,
}
# Bytes of a pixel, and how OpenCV calls what makes RGB of them; alpha is dropped.
_CHANNELS: dict[str, tuple[int, int | None]] = {
    "RGB8": (3, None),
    "RGB8Packed": (3, None),
    "BGR8": (3, cv2.COLOR_BGR2RGB),
    "BGR8Packed": (3, cv2.COLOR_BGR2RGB),
    "RGBa8": (4, cv2.COLOR_RGBA2RGB),
    "RGBA8Packed": (4, cv2.COLOR_RGBA2RGB),
    "BGRa8": (4, cv2.COLOR_BGRA2RGB),
    "BGRA8Packed": (4, cv2.COLOR_BGRA2RGB),
}
_YUYV = ("YUV422_8", "YCbCr422_8", "YUV422_YUYV_Packed")
_UYVY = ("YUV422_8_UYVY", "YCbCr422_8_CbYCrY", "YUV422Packed")
# What gives each of our formats, best first: without loss, then what is the least on the cable.
CONVERTIBLE: dict[PixelFormat, tuple[str, ...]] = {
    "Mono8": tuple(f"Mono{depth}" for depth in _DEPTHS),
    "RGB8": (
        *_CHANNELS,
        *(f"Bayer{pattern}{depth}" for depth in _DEPTHS for pattern in _BAYER),
        *_YUYV,
        *_UYVY,
    ),
}


class PixelError(Exception):
    """The bytes are not an image of the size and format that they were said to be."""


def choose_format(pixel_format: PixelFormat, offered: Sequence[str]) -> str | None:
    """The best of a device's formats that gives `pixel_format`, None if it offers none."""
    return next((name for name in CONVERTIBLE[pixel_format] if name in offered), None)


def to_line_format(
    data: NDArray[np.uint8], device_format: str, *, width_px: int, height_px: int
) -> NDArray[np.uint8]:
    """The image of a device's bytes: uint8 (H, W) of a Mono format, (H, W, 3) RGB of any other.

    `data` is uint8 (N,), lines without padding; bytes after the image are ignored. Where no conversion is
    needed the result is a view of it.

    Raises:
        PixelError: there are fewer bytes than the image has, or the format is not one of `CONVERTIBLE`.
    """
    shape = (height_px, width_px)
    bayer = re.fullmatch(r"Bayer(RG|GR|GB|BG)(\w+)", device_format)
    if device_format in CONVERTIBLE["Mono8"]:
        return _upper_8_bits(data, device_format.removeprefix("Mono"), shape)
    if bayer is not None and bayer[2] in _DEPTHS:
        mosaic = _upper_8_bits(data, bayer[2], shape)
        return np.asarray(cv2.cvtColor(mosaic, _BAYER[bayer[1]]), np.uint8)
    if device_format in _CHANNELS:
        count, code = _CHANNELS[device_format]
        image = _first(data, count * width_px * height_px).reshape(*shape, count)
        return image if code is None else np.asarray(cv2.cvtColor(image, code), np.uint8)
    if device_format in (*_YUYV, *_UYVY):
        return _from_yuv422(data, shape, luma_first=device_format in _YUYV)
    raise PixelError(f"found the pixel format {device_format}, expected one that can be converted")


def _first(data: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    if data.size < count:
        raise PixelError(f"found an image of {data.size} bytes, expected {count}")
    return data[:count]


def _upper_8_bits(data: NDArray[np.uint8], depth: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The upper 8 bits of each pixel, uint8 (H, W)."""
    pixels = shape[0] * shape[1]
    if depth == "8":
        return _first(data, pixels).reshape(shape)
    if depth in ("10", "12", "16"):
        words = _first(data, 2 * pixels).view("<u2")
        return (words >> (int(depth) - 8)).astype(np.uint8).reshape(shape)
    if depth == "10p":
        b0, b1, b2, b3, b4 = _groups(data, pixels, bits=10, group_bytes=5).T
        upper = _interleave(b0 >> 2 | b1 << 6, b1 >> 4 | b2 << 4, b2 >> 6 | b3 << 2, b4)
    elif depth == "12p":
        b0, b1, b2 = _groups(data, pixels, bits=12, group_bytes=3).T
        upper = _interleave(b0 >> 4 | b1 << 4, b2)
    else:
        b0, _, b2 = _groups(data, pixels, bits=12, group_bytes=3).T
        upper = _interleave(b0, b2)
    return upper[:pixels].reshape(shape)


def _interleave(*columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first of each, the second of each and so on: k times (N,) -> (k N,)."""
    rows = np.empty((columns[0].size, len(columns)), np.uint8)
    for index, column in enumerate(columns):
        rows[:, index] = column
    return rows.reshape(-1)


def _groups(data: NDArray[np.uint8], pixels: int, *, bits: int, group_bytes: int) -> NDArray[np.uint8]:
    """The bytes of the image as (N, group_bytes); the last group is filled up with zeros."""
    used = _first(data, -(-pixels * bits // 8))
    return np.pad(used, (0, -used.size % group_bytes)).reshape(-1, group_bytes)


def _from_yuv422(data: NDArray[np.uint8], shape: tuple[int, int], *, luma_first: bool) -> NDArray[np.uint8]:
    height_px, width_px = shape
    if width_px % 2:
        raise PixelError(f"found a width of {width_px} px, expected an even one in a 4:2:2 format")
    pairs = _first(data, 2 * width_px * height_px).reshape(height_px, width_px // 2, 4)
    luma, chroma = (
        (pairs[..., 0::2], pairs[..., 1::2]) if luma_first else (pairs[..., 1::2], pairs[..., 0::2])
    )
    image = np.empty((height_px, width_px, 3), np.uint8)
    image[..., 0] = luma.reshape(shape)
    for start in (0, 1):  # both pixels of a pair have its chroma
        image[:, start::2, 1], image[:, start::2, 2] = chroma[..., 1], chroma[..., 0]
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_YCrCb2RGB), np.uint8)
