"""roi.json: the region of interest of a model, and the areas in it that are ignored.

It lies in the model's folder because threshold and region belong together: calibration.json names its hash.
The graph is free of it; whoever judges applies it to the anomaly map, see `calibration.inspected`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from calibration.ignore_mask import decode_mask, mask_bytes
from calibration.polygons import filled, polygon_fault
from calibration.record import CalibrationError
from engines.records import replace_flushed, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA = "hlgfa.roi/1.0"
FILE_NAME = "roi.json"
_MASKS = "roi-ignore-*.png"

Pixels = Annotated[int, Meta(ge=1, le=65_536)]
# The lengths are checked by `polygon_fault`, whose message says what was found.
Polygon = Annotated[list[tuple[float, float]], Meta(extra_json_schema={"minItems": 3, "maxItems": 1000})]


class Roi(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the raw image is inspected: inside any of `include`, in none of `exclude`, not masked.

    `height_px` and `width_px` are of the raw image that it was drawn on. A polygon is its vertices [x, y] in
    that image's pixels, 0..width_px and 0..height_px, see `calibration.polygons`. An empty `include` is the
    whole image. `ignore_mask` names a PNG beside the file, of the image's size; where it is not zero, the
    image is ignored.
    """

    schema: str = SCHEMA
    height_px: Pixels
    width_px: Pixels
    include: list[Polygon] = []
    exclude: list[Polygon] = []
    ignore_mask: str | None = None


class InspectedArea(NamedTuple):
    """A region that was checked: `pixels` (height_px, width_px) bool, true where the image is inspected.

    `ignore_png` are the bytes of the mask's file; `sha256` is the hash of region and mask together.
    """

    roi: Roi
    ignore_png: bytes | None
    pixels: NDArray[np.bool_]
    sha256: str


def load_roi(folder: Path, size_px: tuple[int, int]) -> InspectedArea | None:
    """Region of interest of a model folder; None if it has none, then the whole image is inspected.

    Raises:
        CalibrationError: as `read_roi`.
    """
    path = folder / FILE_NAME
    return read_roi(path, size_px) if path.exists() or path.is_symlink() else None


def read_roi(path: Path, size_px: tuple[int, int]) -> InspectedArea:
    """Read a region of interest and its mask.

    Args:
        path: JSON file of a `Roi`.
        size_px: (height, width) of the raw image that it is to be used for.

    Raises:
        CalibrationError: it or its mask is missing or damaged, it is of another image size, a polygon cannot
            be used, or nothing is left to inspect.
    """
    try:
        roi = msgspec.json.decode(path.read_bytes(), type=Roi)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CalibrationError(
            f"{path}: cannot be read as a region of interest ({error}). Draw it again with: hlgfa roi"
        ) from error
    if roi.schema != SCHEMA:
        raise CalibrationError(f"{path}: found schema {roi.schema!r}, expected {SCHEMA!r}. Run: hlgfa roi")
    if (roi.height_px, roi.width_px) != size_px:
        raise CalibrationError(
            f"{path}: found a region drawn on an image of {roi.height_px}x{roi.width_px} pixels, expected "
            f"{size_px[0]}x{size_px[1]} (height x width), the model's raw image. Draw it on such an image."
        )
    return inspected_area(roi, mask_bytes(path, roi.ignore_mask), where=str(path))


def inspected_area(roi: Roi, ignore_png: bytes | None, *, where: str) -> InspectedArea:
    """Check a region with its mask; `where` is named in the errors.

    Raises:
        CalibrationError: a polygon or the mask cannot be used, or nothing is left to inspect.
    """
    size = (roi.height_px, roi.width_px)
    for name, polygons in (("include", roi.include), ("exclude", roi.exclude)):
        for index, polygon in enumerate(polygons):
            fault = polygon_fault(polygon, size)
            if fault is not None:
                raise CalibrationError(f"{where}: {name}[{index}]: {fault}. Draw this polygon again.")
    pixels = np.full(size, not roi.include, np.bool_)
    for polygon in roi.include:
        pixels |= filled(polygon, size)
    for polygon in roi.exclude:
        pixels &= ~filled(polygon, size)
    if ignore_png is not None:
        pixels &= ~decode_mask(ignore_png, size, where=f"{where}: ignore_mask {roi.ignore_mask or ''}")
    if not pixels.any():
        raise CalibrationError(
            f"{where}: found no pixel of {size[0]}x{size[1]} left to inspect. Enlarge include or ignore less."
        )
    return InspectedArea(roi, ignore_png, pixels, roi_sha256(roi, ignore_png))


def roi_sha256(roi: Roi, ignore_png: bytes | None) -> str:
    """SHA-256 of what a region says and of its mask's bytes; names of files and spaces are not in it."""
    mask = None if ignore_png is None else hashlib.sha256(ignore_png).hexdigest()
    # As floats without a minus before zero: a record made in code hashes like one read from a file.
    polygons = [
        [[(float(x) + 0.0, float(y) + 0.0) for x, y in polygon] for polygon in group]
        for group in (roi.include, roi.exclude)
    ]
    content = [roi.schema, roi.height_px, roi.width_px, *polygons, mask]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def save_roi(area: InspectedArea, path: Path) -> Roi:
    """Write the region, and its mask beside it under a name of its content; returns what was written.

    The mask comes first and overwrites no other one, so a reader always finds a whole region.
    """
    name = None
    if area.ignore_png is not None:
        name = _MASKS.replace("*", hashlib.sha256(area.ignore_png).hexdigest()[:12])
        replace_flushed(area.ignore_png, path.parent / name)
    written = msgspec.structs.replace(area.roi, ignore_mask=name)
    write_record(written, path)
    return written


def remove_stale_masks(folder: Path, roi: Roi | None) -> None:
    """Remove masks that `save_roi` wrote into a model folder for a region that is no longer its own."""
    for path in folder.glob(_MASKS):
        if roi is None or path.name != roi.ignore_mask:
            path.unlink()
