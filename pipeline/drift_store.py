"""What outlives a start: the baselines of a camera's charts, and whether it is held. One file a camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from calibration.camera_drift import Baselines
from calibration.drift import SCORE
from engines.records import read_record, sync_directory, write_record
from pipeline.config import ConfigError

if TYPE_CHECKING:
    from pipeline.config import StationConfig
    from pipeline.internal import EngineReady

SCHEMA = "hlgfa.drift/1.1"
_OTHER_BASELINES = "hlgfa.drift/1.0"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Why every part of a camera is rejected, and since when."""

    since_utc: str
    chart: str
    text: str


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera; what its charts belong to has these hashes: see `under_engine`.

    They are None until an engine has said them; `roi_sha256` also while the whole image is inspected.
    """

    schema: str = SCHEMA
    camera: str
    model_sha256: str | None = None
    roi_sha256: str | None = None
    calibration_sha256: str | None = None
    baselines: Baselines = Baselines()
    held: Held | None = None


class _Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What a record has had in every form."""

    schema: str
    camera: str
    held: Held | None = None


def record_path(station: StationConfig, camera: str) -> Path:
    """Where it lies: beside the journal."""
    return Path(station.journal_dir) / f"drift-{camera}.json"


def load_drift(station: StationConfig, camera: str) -> DriftRecord:
    """What earlier starts have left; an empty record if there is none.

    Raises:
        ConfigError: the file cannot be read. It may have said that the camera is held, so that nothing is
            assumed.
    """
    path = record_path(station, camera)
    if not path.exists():
        return DriftRecord(camera=camera)
    missing = "it was there a moment ago"
    do = "Look whether the line is to be held; then remove the file, and the charts learn anew."
    hold = read_record(path, _Hold, None, ConfigError, missing=missing, do=do)
    if hold.schema == _OTHER_BASELINES:
        return DriftRecord(camera=hold.camera, held=hold.held)
    return read_record(path, DriftRecord, SCHEMA, ConfigError, missing=missing, do=do)


def under_engine(record: DriftRecord, engine: EngineReady) -> DriftRecord:
    """The record with what still holds under this engine.

    Another model may be of another part, and under another region of interest something else is measured: all
    is learned anew. Under another calibration it is scores and rejects.
    """
    model, roi = engine.info.model_sha256, engine.roi_sha256
    baselines = record.baselines
    if (model, roi) != (record.model_sha256, record.roi_sha256):
        baselines = Baselines()
    elif engine.calibration_sha256 != record.calibration_sha256:
        levels = {name: level for name, level in baselines.levels.items() if name != SCORE}
        baselines = Baselines(levels=levels)
    return msgspec.structs.replace(
        record,
        model_sha256=model,
        roi_sha256=roi,
        calibration_sha256=engine.calibration_sha256,
        baselines=baselines,
    )


def save_drift(station: StationConfig, record: DriftRecord) -> None:
    """Write the record, flushed to the disk: a hold outlasts a loss of power, too.

    Raises:
        OSError: the disk refuses it.
    """
    path = record_path(station, record.camera)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(record, path)
    sync_directory(path.parent)
