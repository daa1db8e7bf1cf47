"""Heatmap payloads: quantised maps to bytes, and bytes back to raw scores. Pure: no sockets, no clock.

A payload comes from outside: its size, checksum and shape are checked before an array is made of it, and a
compressed one may not grow beyond what its header announced.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from pipeline.wire import MessageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.messages import HeatmapHeader

MAX_RAW_BYTES = 64 * 1024 * 1024
# Level 1: 256x256 takes 0.14 ms and 9 KB; higher levels cost more time than they save bytes on a loopback.
_COMPRESSOR = zstandard.ZstdCompressor(level=1)
_DTYPES: dict[str, np.dtype[Any]] = {"u8": np.dtype("u1"), "f16": np.dtype("<f2")}


def pack_heatmap(quantised: NDArray[np.uint8] | NDArray[np.float16], codec: str) -> tuple[bytes, int, int]:
    """Pack a quantised map (H, W) in row order.

    Returns:
        The payload, the number of bytes before compression, and their CRC-32 (zlib's polynomial).

    Raises:
        MessageError: the codec is unknown, or the array is not (H, W) of uint8 or float16.
    """
    if quantised.ndim != 2 or quantised.dtype not in (np.uint8, np.float16):
        raise MessageError(
            f"heatmap: found {quantised.dtype} {quantised.shape}, expected uint8 or float16 (H, W)."
        )
    raw = np.ascontiguousarray(quantised).astype(quantised.dtype.newbyteorder("<"), copy=False).tobytes()
    if codec == "none":
        payload = raw
    elif codec == "zstd":
        payload = _COMPRESSOR.compress(raw)
    else:
        raise MessageError(f"heatmap: found codec {codec!r}, expected none or zstd.")
    return payload, len(raw), zlib.crc32(raw)


def unpack_heatmap(header: HeatmapHeader, payload: bytes) -> NDArray[np.float32]:
    """Anomaly map (H, W), float32, raw units: value = quantised * scale + offset.

    Raises:
        MessageError: size, checksum or shape do not fit the header, or the payload does not decompress to
            exactly what the header announced.
    """
    height, width = header.shape
    dtype = _DTYPES[header.dtype]
    expected = height * width * dtype.itemsize
    if height < 1 or width < 1 or expected > MAX_RAW_BYTES or header.raw_bytes != expected:
        raise MessageError(
            f"heatmap: found shape {header.shape} of {header.dtype} and {header.raw_bytes} raw bytes, "
            f"expected {expected} and at most {MAX_RAW_BYTES}."
        )
    raw = _decompress(payload, expected) if header.codec == "zstd" else payload
    if len(raw) != expected:
        raise MessageError(f"heatmap: found {len(raw)} bytes, expected {expected}.")
    if zlib.crc32(raw) != header.crc32:
        raise MessageError(f"heatmap: found CRC-32 {zlib.crc32(raw):#010x}, expected {header.crc32:#010x}.")
    quantised = np.frombuffer(raw, dtype=dtype).reshape(height, width)
    values = quantised.astype(np.float64) * header.scale + header.offset
    return values.astype(np.float32)


def to_image(header: HeatmapHeader, column: float, row: float) -> tuple[float, float]:
    """Where a point of the map lies in the raw image: (x, y) in pixels, by the header's affine matrix."""
    (xx, xy, x0), (yx, yy, y0) = header.to_image
    return xx * column + xy * row + x0, yx * column + yy * row + y0


def map_in_image(
    header: HeatmapHeader, scores: NDArray[np.float32], width_px: int, height_px: int
) -> NDArray[np.float32]:
    """The map's scores (H, W) at every pixel of the raw image, (height_px, width_px) float32, bilinear.

    Pixels outside the centres of the map's outermost cells take the value of the nearest one.

    Raises:
        MessageError: the map is turned or sheared against the image, or the matrix cannot be inverted.
    """
    (xx, xy, x0), (yx, yy, y0) = header.to_image
    if xy != 0.0 or yx != 0.0 or xx <= 0.0 or yy <= 0.0:
        raise MessageError(f"heatmap: found to_image {header.to_image}, expected a scale and a shift.")
    rows = np.clip((np.arange(height_px) - y0) / yy, 0, scores.shape[0] - 1)
    columns = np.clip((np.arange(width_px) - x0) / xx, 0, scores.shape[1] - 1)
    top = np.minimum(rows.astype(np.intp), max(0, scores.shape[0] - 2))
    left = np.minimum(columns.astype(np.intp), max(0, scores.shape[1] - 2))
    below, right = (rows - top)[:, None], (columns - left)[None, :]
    under = np.minimum(top + 1, scores.shape[0] - 1)
    beside = np.minimum(left + 1, scores.shape[1] - 1)
    upper = scores[top][:, left] * (1 - right) + scores[top][:, beside] * right
    lower = scores[under][:, left] * (1 - right) + scores[under][:, beside] * right
    found: NDArray[np.float32] = (upper * (1 - below) + lower * below).astype(np.float32)
    return found


def _decompress(payload: bytes, expected: int) -> bytes:
    """Decompress, but never more than expected.

    `max_output_size` alone does not protect: it is ignored when the frame states a size of its own, and that
    size is allocated at once. So the stated size is looked at first.
    """
    try:
        stated = zstandard.frame_content_size(payload)
        if stated not in (-1, expected):
            raise MessageError(f"heatmap: found a zstd frame of {stated} bytes, expected {expected}.")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=expected)
    except zstandard.ZstdError as error:
        raise MessageError(f"heatmap: {error}") from error
