"""Polygons in image pixels: what is wrong with one, and which pixels lie inside it.

Coordinates are those of pixel edges, as in a region's bounding box: pixel (row, column) reaches from
x = column to column + 1, so 0,0 W,0 W,H 0,H is the whole image. A pixel is inside if its centre is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_VERTICES = 1000
"""Every edge is checked against every other one; a shape with more is better drawn as a mask."""
_NO_AREA_PX2 = 1e-6


def polygon_fault(polygon: Sequence[tuple[float, float]], size_px: tuple[int, int]) -> str | None:
    """What was found and expected of a polygon that cannot be used; None if it can.

    Args:
        polygon: vertices (x, y) in pixels; the last one is joined to the first.
        size_px: (height, width) of the image.
    """
    if not 3 <= len(polygon) <= MAX_VERTICES:
        return f"found {len(polygon)} vertices, expected 3 to {MAX_VERTICES}"
    height, width = size_px
    for x, y in polygon:
        if not (0 <= x <= width and 0 <= y <= height):
            return f"found the vertex [{x:g}, {y:g}], expected 0 <= x <= {width} and 0 <= y <= {height}"
    points = np.asarray(polygon, np.float64)
    crossing = _crossing(points)
    if crossing is not None:
        return f"found edges {crossing[0]} and {crossing[1]} crossing each other, expected edges in order"
    if abs(_signed_area(points)) < _NO_AREA_PX2:
        return "found vertices that enclose no area, expected a polygon"
    return None


def filled(polygon: Sequence[tuple[float, float]], size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside the polygon, by the even-odd rule.

    Args:
        polygon: vertices (x, y), 0..width and 0..height.
        size_px: (height, width) of the image.

    Returns:
        (height, width) bool.
    """
    height, width = size_px
    crossings = np.zeros((height, width + 1), np.uint8)  # may wrap: only odd or even counts
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        # Half-open, so that a vertex on a row's centre line belongs to one of its two edges only.
        first, last = sorted((int(np.ceil(y0 - 0.5)), int(np.ceil(y1 - 0.5))))
        rows = np.arange(first, last)
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
            crossings[rows, columns] += np.uint8(1)
    return (np.cumsum(crossings[:, :width], axis=1, dtype=np.uint8) & 1).astype(np.bool_)


def _signed_area(points: NDArray[np.float64]) -> float:
    x, y = (points - points[0]).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _crossing(points: NDArray[np.float64]) -> tuple[int, int] | None:
    """Numbers of two edges that cross, each with its ends on both sides of the other; None if none do."""
    start, end = points, np.roll(points, -1, axis=0)
    # side[i, j] of point j: left (+) or right (-) of edge i.
    of_start, of_end = (_side(start, end, other) for other in (start, end))
    apart = of_start * of_end < 0
    first, second = np.nonzero(apart & apart.T)
    return (int(first[0]), int(second[0])) if len(first) else None


def _side(
    start: NDArray[np.float64], end: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    edge, to_point = (end - start)[:, None], points[None] - start[:, None]
    return np.sign(edge[..., 0] * to_point[..., 1] - edge[..., 1] * to_point[..., 0])
