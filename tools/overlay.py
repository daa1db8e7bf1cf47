"""Overlays for people: image, heatmap on the fixed scale, contours of threshold, truth and ROI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from calibration.inspected import enlarged

if TYPE_CHECKING:
    from pathlib import Path

    from cv2.typing import MatLike
    from numpy.typing import NDArray

    from calibration.calibrated import Calibrated

FAIL_RGB = (255, 40, 40)
TRUTH_RGB = (60, 255, 90)
ROI_RGB = (70, 150, 255)
_MAX_SIDE_PX = 768


def save_overlay(
    path: Path,
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    calibrated: Calibrated,
) -> None:
    """Write a PNG: left the image, right the heatmap over it.

    Red the threshold, green the ground truth, blue the region of interest.

    Args:
        path: file to write; its folder is made.
        image: (H, W) or (H, W, 3) uint8.
        anomaly_map: (h, w) float32, raw scores.
        mask: (h, w) bool ground truth, or None.
        calibrated: threshold, the scale that is the same for every image, and region of interest.
    """
    size = _shown_size(image.shape)
    rgb = cv2.resize(image if image.ndim == 3 else np.repeat(image[..., None], 3, 2), size)
    values = cv2.resize(anomaly_map, size, interpolation=cv2.INTER_LINEAR)
    truth = None if mask is None else cv2.resize(mask.astype(np.uint8), size) > 0
    calibration, inspected = calibrated.calibration, calibrated.inspected
    area = None if inspected is None else enlarged(inspected, size[::-1])
    heat = np.clip(values * calibration.heatmap_scale + calibration.heatmap_offset, 0, 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    right = cv2.addWeighted(rgb, 0.5, colour, 0.5, 0)
    for panel in (rgb, right):
        if area is not None:
            _outline(panel, area, ROI_RGB, holes=True)
        _outline(panel, np.asarray(values >= calibration.map_threshold), FAIL_RGB)
        if truth is not None:
            _outline(panel, np.asarray(truth), TRUTH_RGB)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack([rgb, right]), cv2.COLOR_RGB2BGR))


def _outline(
    panel: MatLike, region: NDArray[np.bool_], colour: tuple[int, int, int], *, holes: bool = False
) -> None:
    which = cv2.RETR_LIST if holes else cv2.RETR_EXTERNAL
    contours, _ = cv2.findContours(region.astype(np.uint8), which, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, colour, 1)


def _shown_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) of one panel: the image's own, at most `_MAX_SIDE_PX`."""
    scale = min(1.0, _MAX_SIDE_PX / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
