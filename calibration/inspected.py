"""The region of interest on the anomaly map: its inspected pixels, and what they leave of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.record import CalibrationError
from engines.area import area_weights
from engines.engine import EngineOutput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.roi import InspectedArea

HALF = 0.5 - 1e-9
"""Share of a map pixel's area from which on it is inspected, less the rounding of the sum."""


def map_mask(area: InspectedArea, map_shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Map pixels of which at least half the area is inspected.

    Args:
        area: of the raw image.
        map_shape: (height, width) of the anomaly map, which covers the whole raw image.

    Returns:
        (height, width) bool, at least one of them true.

    Raises:
        CalibrationError: no map pixel is.
    """
    mask = np.asarray(inspected_share(area.pixels, map_shape) >= HALF)
    if not mask.any():
        height, width = (px / n for px, n in zip(area.pixels.shape, map_shape, strict=True))
        raise CalibrationError(
            f"region of interest: found no pixel of the {map_shape[0]}x{map_shape[1]} anomaly map that is at "
            f"least half inside, expected one. Enlarge the region: a map pixel is {height:.3g}x{width:.3g} "
            "pixels of the image."
        )
    return mask


def inspected_share(pixels: NDArray[np.bool_], map_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each map pixel's area that is true in the image: (h, w) float64, 0..1."""
    rows, columns = (area_weights(px, n) for px, n in zip(pixels.shape, map_shape, strict=True))
    share = np.empty((map_shape[0], pixels.shape[1]))
    for row, weights in enumerate(rows):
        touched = np.flatnonzero(weights)
        band = slice(touched[0], touched[-1] + 1)
        share[row] = weights[band] @ pixels[band]
    return np.asarray(share @ columns.T)


def apply(anomaly_map: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float]:
    """Anomaly map with 0.0, the mean pixel of good parts, where it is not inspected, and its image score.

    The engine's score is the maximum of its map, so the maximum of the inspected pixels is exactly the score
    of that region. A map that is not finite, inside or outside, comes from a broken engine: it is handed on
    as it is, with a score of NaN, under which nothing is accepted.

    Args:
        anomaly_map: (h, w) float32, raw scores; it is not changed.
        mask: (h, w) bool, at least one true.

    Raises:
        CalibrationError: the shapes differ.
    """
    if anomaly_map.shape != mask.shape:
        raise CalibrationError(
            f"region of interest: found an anomaly map of {anomaly_map.shape}, expected {mask.shape}."
        )
    if not np.isfinite(anomaly_map).all():
        return anomaly_map, float("nan")
    return np.where(mask, anomaly_map, np.float32(0)), float(anomaly_map[mask].max())


def inspected_output(output: EngineOutput, mask: NDArray[np.bool_] | None) -> EngineOutput:
    """An engine's result under a region of interest; unchanged without one (None).

    A score that is not finite stays so, whatever the map shows.
    """
    if mask is None:
        return output
    anomaly_map, score = apply(output.anomaly_map, mask)
    return EngineOutput(score if np.isfinite(output.score) else output.score, anomaly_map)


def enlarged(mask: NDArray[np.bool_], size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """A map's mask at (height, width) pixels: each has the value of the map pixel that its centre lies in."""
    rows, columns = (
        ((np.arange(px) + 0.5) * n / px).astype(np.intp) for px, n in zip(size_px, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
