"""Pictures that show their number as a grid of blocks; without NumPy, for Debian's python3 as well."""

from __future__ import annotations

from typing import Any

BITS = 16
COLUMNS, ROWS = 4, 4
DARK, MIDDLE, BRIGHT = 48, 128, 208


def numbered_luma(number: int, width: int, height: int) -> bytes:
    """One byte a pixel: the bits of `number`, first bit top left."""
    luma = bytearray()
    for row in range(ROWS):
        bits = [number >> (row * COLUMNS + column) & 1 for column in range(COLUMNS)]
        line = b"".join(bytes([BRIGHT if bit else DARK]) * (width // COLUMNS) for bit in bits)
        luma += line.ljust(width, bytes([DARK])) * (height // ROWS)
    return bytes(luma.ljust(width * height, bytes([DARK])))


def picture_number(pixels: Any) -> int:
    """The number that uint8 pixels (H, W) or (H, W, 3) show."""
    luma = pixels if pixels.ndim == 2 else pixels[..., 1]
    height, width = luma.shape[0] // ROWS, luma.shape[1] // COLUMNS
    centres = luma[height // 2 :: height, width // 2 :: width][:ROWS, :COLUMNS].ravel()
    return sum(1 << bit for bit in range(BITS) if centres[bit] > MIDDLE)
