"""What parts are judged by: a model's calibration and its region of interest, which belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from calibration.frame_measures import Sample, sample_of
from calibration.inspected import map_mask
from calibration.record import FILE_NAME, Calibration, load_calibration, save_calibration
from calibration.roi import FILE_NAME as ROI_NAME
from calibration.roi import InspectedArea, load_roi, remove_stale_masks, save_roi

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Calibrated(NamedTuple):
    """Calibration, region, and `inspected`, the (map_height, map_width) bool mask of it.

    `sample` is where frames are measured under the region. All but the first are None if the whole image is
    inspected.
    """

    calibration: Calibration
    area: InspectedArea | None
    inspected: NDArray[np.bool_] | None
    sample: Sample | None


def load_calibrated(
    folder: Path, *, model_sha256: str, size_px: tuple[int, int], map_shape: tuple[int, int]
) -> Calibrated:
    """Read calibration and region of interest of a model folder, and check that they belong together.

    Args:
        folder: of the model.
        model_sha256: hash of the model's ONNX file.
        size_px: (height, width) of its raw image.
        map_shape: (height, width) of its anomaly map.

    Raises:
        CalibrationError: one of them is missing or cannot be used, or the threshold was fitted under another
            region of interest.
    """
    area = load_roi(folder, size_px)
    inspected = None if area is None else map_mask(area, map_shape)
    sample = None if area is None else sample_of(area.pixels)
    calibration = load_calibration(
        folder / FILE_NAME, model_sha256=model_sha256, roi_sha256=None if area is None else area.sha256
    )
    return Calibrated(calibration, area, inspected, sample)


def save_calibrated(folder: Path, area: InspectedArea | None, calibration: Calibration) -> None:
    """Write roi.json (or, with None, remove it) and calibration.json, in this order.

    Wherever it is stopped, no threshold goes with a region that it was not fitted under: until roi.json is
    replaced the old pair is whole; from then on the old calibration's `roi_sha256` does not fit and is
    refused, until the new one is there.
    """
    path = folder / ROI_NAME
    if area is None:
        path.unlink(missing_ok=True)
        written = None
    else:
        written = save_roi(area, path)
    save_calibration(calibration, folder / FILE_NAME)
    remove_stale_masks(folder, written)
