"""The calibration record: thresholds fitted on good parts, bound to the hash of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from engines.records import read_record, write_record

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


class ScoreQuantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of the good parts that pass: `values`, and the standard normal quantiles that they stand for."""

    values: list[float]
    normal_scores: list[float]
    parts: int


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """Who moved the threshold to what marks of operators said, when, and from where."""

    operator: str
    applied_utc: str
    marks_sha256: str
    bad: int
    false_rejects: int
    accepted_misses: int
    old_threshold: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was learned about the scores of good parts.

    A part passes if its image score is below `threshold`; a pixel belongs to a region if its anomaly map
    value is at or above `map_threshold`. `false_reject_rate` is the rate that was asked for;
    `false_reject_lower` and `false_reject_upper` bound the true rate at `confidence`, from `parts` good
    parts that training did not see. A heatmap value is `raw * heatmap_scale + heatmap_offset`, fixed for
    all images, clipped to 0..255. `roi_sha256` is the hash of the region of interest that the scores were
    taken under, None if there was none. With `nuisances`, the rate is that of parts with nuisances, too.
    With `cross_fitted` the scores are those of fits that left the parts out and so saw a few parts less than
    the model: the bounds hold for it nearly, not exactly. `good_scores` is what the line's own good parts are
    compared with. `review` says that the threshold is not that of the rate but was taken from operators'
    marks; the bounds are those at the threshold in force.
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
    roi_sha256: str | None = None
    nuisances: bool = False
    cross_fitted: bool = False
    good_scores: ScoreQuantiles | None = None
    review: Review | None = None


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write the record; a reader never sees half of it."""
    write_record(calibration, path)


def load_calibration(path: Path, *, model_sha256: str, roi_sha256: str | None = None) -> Calibration:
    """Read the record that belongs to the model and to the region of interest with these hashes.

    Whoever judges parts by it calls `calibration.calibrated.load_calibrated`, which knows the region.

    Raises:
        CalibrationError: there is none, it cannot be read, or it was made for another model or under another
            region of interest (None: none).
    """
    do = f"Run: hlgfa calibrate --model {path.parent}"
    missing = "a model runs only with its calibration"
    calibration = read_record(path, Calibration, SCHEMA, CalibrationError, missing=missing, do=do)
    if calibration.model_sha256 != model_sha256:
        raise CalibrationError(
            f"{path}: found a calibration of model {calibration.model_sha256[:12]}, expected one of "
            f"{model_sha256[:12]}. {do}"
        )
    if calibration.roi_sha256 != roi_sha256:
        raise CalibrationError(
            f"{path}: found a threshold under {region_name(calibration.roi_sha256)}, expected one under "
            f"{region_name(roi_sha256)}, which is what roi.json says. {do} --good DIR"
        )
    return calibration


def region_name(sha256: str | None) -> str:
    """How messages name a region of interest."""
    return "no region of interest" if sha256 is None else f"region of interest {sha256[:12]}"
