"""What outlives a start: the baselines of a camera's charts, and whether it is held. One file a camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from calibration.camera_drift import Baselines
from engines.records import read_record, write_record
from pipeline.config import ConfigError

if TYPE_CHECKING:
    from pipeline.config import StationConfig

SCHEMA = "hlgfa.drift/1.0"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Why every part of a camera is rejected, and since when."""

    since_utc: str
    chart: str
    text: str


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera; the charts of scores and rejects belong to the calibration with this hash."""

    schema: str = SCHEMA
    camera: str
    calibration_sha256: str | None = None
    baselines: Baselines = Baselines()
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
    do = "Look whether the line is to be held; then remove the file, and the charts learn anew."
    return read_record(path, DriftRecord, SCHEMA, ConfigError, missing="it was there a moment ago", do=do)


def save_drift(station: StationConfig, record: DriftRecord) -> None:
    """Write the record; a reader never sees half of it.

    Raises:
        OSError: the disk refuses it.
    """
    path = record_path(station, record.camera)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(record, path)
