"""Brightness, sharpness and place of a part in its frame, cheap enough for every part.

What they cannot say: brightness is that of the whole image and does not tell the lamp from the part.
Sharpness is the contrast of fine detail, so another texture changes it as another focus does. The place is
the centre of the vertical edges' energy: a part that fills the image, or that has none but horizontal edges,
seems not to move, and still edges of the background make it seem to move less than it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLED_ROWS = 64
"""Rows that are looked at: 1920x1200 then costs 0.2 to 0.7 ms (docs/drift.md)."""
REACH_PX = 2
"""Distance of the pixels that are compared: the next of the same colour under a Bayer filter, too."""


class FrameMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one frame: brightness in grey levels, sharpness without unit, place in pixels of the raw image."""

    brightness: float
    sharpness: float
    x_px: float
    y_px: float


def measure(pixels: NDArray[np.uint8]) -> FrameMeasures:
    """Measure a frame on a sample of its rows.

    Args:
        pixels: (H, W) or (H, W, 3) uint8, wider than 2 px; of colours the green one is taken.
    """
    height, width = pixels.shape[:2]
    stride = max(1, height // SAMPLED_ROWS)
    plane = pixels[stride // 2 :: stride]
    rows = (plane if plane.ndim == 2 else plane[..., 1]).astype(np.float32)
    step = rows[:, REACH_PX:] - rows[:, :-REACH_PX]
    energy = np.square(step, out=step)
    columns, lines = energy.sum(axis=0), energy.sum(axis=1)
    total = float(lines.sum())
    brightness = float(rows.mean())
    sharpness = (total / energy.size) ** 0.5 / max(brightness, 1.0)
    if total == 0.0:
        return FrameMeasures(
            brightness=brightness, sharpness=0.0, x_px=(width - 1) / 2, y_px=(height - 1) / 2
        )
    x_px = float(columns @ np.arange(len(columns), dtype=np.float32)) / total + REACH_PX / 2
    y_px = float(lines @ np.arange(len(lines), dtype=np.float32)) / total * stride + stride // 2
    return FrameMeasures(brightness=brightness, sharpness=sharpness, x_px=x_px, y_px=y_px)
