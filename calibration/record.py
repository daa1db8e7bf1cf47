"""The calibration record: thresholds fitted on good parts, bound to the hash of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from engines.records import write_record

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "hlgfa.calibration/1.0"
FILE_NAME = "calibration.json"


class CalibrationError(Exception):
    """A model has no usable calibration; the message says what, found, expected, do."""


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of good parts per score bin; `edges` has one more entry than `counts`."""

    edges: list[float]
    counts: list[int]


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was learned about the scores of good parts.

    A part passes if its image score is below `threshold`; a pixel belongs to a region if its anomaly map
    value is at or above `map_threshold`. `false_reject_rate` is the rate that was asked for;
    `false_reject_lower` and `false_reject_upper` bound the true rate at `confidence`, from `parts` good
    parts that training did not see. A heatmap value is `raw * heatmap_scale + heatmap_offset`, fixed for
    all images, clipped to 0..255.
    """

    schema: str = SCHEMA
    model_sha256: str
    threshold: float
    map_threshold: float
    false_reject_rate: Annotated[float, Meta(gt=0, lt=1)]
    false_reject_lower: float
    false_reject_upper: float
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    parts: Annotated[int, Meta(ge=1)]
    heatmap_scale: Annotated[float, Meta(gt=0)]
    heatmap_offset: float
    histogram: Histogram
    created_utc: str
    warning: str | None = None


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write the record; a reader never sees half of it."""
    write_record(calibration, path)


def load_calibration(path: Path, *, model_sha256: str) -> Calibration:
    """Read the record that belongs to the model with this hash.

    Raises:
        CalibrationError: there is none, it cannot be read, or it was made for another model.
    """
    do = f"Run: hlgfa calibrate --model {path.parent}"
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except FileNotFoundError as error:
        raise CalibrationError(f"{path}: not found; a model runs only with its calibration. {do}") from error
    except (OSError, msgspec.DecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read ({error}). {do}") from error
    if calibration.schema != SCHEMA:
        raise CalibrationError(f"{path}: found schema {calibration.schema!r}, expected {SCHEMA!r}. {do}")
    if calibration.model_sha256 != model_sha256:
        raise CalibrationError(
            f"{path}: found a calibration of model {calibration.model_sha256[:12]}, expected one of "
            f"{model_sha256[:12]}. {do}"
        )
    return calibration
