"""Brightness, sharpness and place of a part in its frame, cheap enough for every part.

What they cannot say: brightness does not tell the lamp from the part.
Sharpness is the contrast of fine detail, so another texture changes it as another focus does. The place is
the centre of the vertical edges' energy: a part that fills the image, or that has none but horizontal edges,
seems not to move, and still edges of the background make it seem to move less than it does. All is of the
region of interest: a belt outside it changes nothing, and a part that leaves it seems to move less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class Sample(NamedTuple):
    """What of a frame is looked at: `rows` (n,) intp, and the columns from `left` to before `right`.

    `pixels` (n, columns) and `pairs` (n, columns - `REACH_PX`) are float32, 1.0 where the pixel, or both
    pixels that are compared, are inspected. They are None if all are.
    """

    rows: NDArray[np.intp]
    left: int
    right: int
    pixels: NDArray[np.float32] | None
    pairs: NDArray[np.float32] | None


def sample_of(inspected: NDArray[np.bool_]) -> Sample:
    """Rows and columns of a region of interest.

    Args:
        inspected: (H, W) bool, at least one true.
    """
    rows = _spread(np.flatnonzero(inspected.any(axis=1)))
    columns = np.flatnonzero(inspected.any(axis=0))
    left = max(0, min(int(columns[0]), inspected.shape[1] - REACH_PX - 1))
    right = max(int(columns[-1]) + 1, left + REACH_PX + 1)
    seen = inspected[rows, left:right]
    pairs = seen[:, REACH_PX:] & seen[:, :-REACH_PX]
    return Sample(rows, left, right, seen.astype(np.float32), pairs.astype(np.float32))


def measure(pixels: NDArray[np.uint8], sample: Sample | None = None) -> FrameMeasures:
    """Measure a frame on a sample of its rows.

    Args:
        pixels: (H, W) or (H, W, 3) uint8, wider than 2 px; of colours the green one is taken.
        sample: of a region of interest in frames of this size; None for the whole frame.
    """
    height, width = pixels.shape[:2]
    seen = sample or Sample(_spread(np.arange(height)), 0, width, None, None)
    plane = pixels if pixels.ndim == 2 else pixels[..., 1]
    rows = plane[seen.rows, seen.left : seen.right].astype(np.float32)
    step = rows[:, REACH_PX:] - rows[:, :-REACH_PX]
    energy = np.square(step, out=step)
    brightness, count = float(rows.mean()), float(energy.size)
    if seen.pixels is not None and seen.pairs is not None:
        brightness = float(np.vdot(rows, seen.pixels) / seen.pixels.sum())
        energy *= seen.pairs
        count = float(seen.pairs.sum())
    columns, lines = energy.sum(axis=0), energy.sum(axis=1)
    total = float(lines.sum())
    if total == 0.0:
        return FrameMeasures(
            brightness=brightness, sharpness=0.0, x_px=(width - 1) / 2, y_px=(height - 1) / 2
        )
    x_px = float(columns @ np.arange(len(columns), dtype=np.float32)) / total + seen.left + REACH_PX / 2
    y_px = float(lines @ seen.rows.astype(np.float32)) / total
    sharpness = (total / count) ** 0.5 / max(brightness, 1.0)
    return FrameMeasures(brightness=brightness, sharpness=sharpness, x_px=x_px, y_px=y_px)


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """About `SAMPLED_ROWS` of these rows, evenly spread."""
    stride = max(1, len(rows) // SAMPLED_ROWS)
    return rows[stride // 2 :: stride]
