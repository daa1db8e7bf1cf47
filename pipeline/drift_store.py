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
    from pipeline.messages import RecipeSummary

SCHEMA = "hlgfa.drift/1.2"
_OTHER_BASELINES = {"hlgfa.drift/1.0", "hlgfa.drift/1.1"}
OTHERS = 64
"""Recipes besides the one in force whose baselines are kept, those that were in force last."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Why every part of a camera is rejected, and since when."""

    since_utc: str
    chart: str
    text: str


class Under(msgspec.Struct, frozen=True, kw_only=True):
    """What judges, and so what a baseline is of: another part, other light, another place in the image.

    `recipe` is id and version, without recipes the model's id. All are None until an engine has said them;
    `roi_sha256` also while the whole image is inspected.
    """

    recipe: str | None = None
    model_sha256: str | None = None
    roi_sha256: str | None = None


class Steady(msgspec.Struct, frozen=True, kw_only=True):
    """What the charts know of a steady line; scores and rejects are those of this calibration."""

    under: Under = Under()
    calibration_sha256: str | None = None
    baselines: Baselines = Baselines()


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera: what is in force, and what the recipes before it have left."""

    schema: str = SCHEMA
    camera: str
    steady: Steady = Steady()
    others: list[Steady] = []
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
    if hold.schema in _OTHER_BASELINES:
        return DriftRecord(camera=hold.camera, held=hold.held)
    return read_record(path, DriftRecord, SCHEMA, ConfigError, missing=missing, do=do)


def under_engine(record: DriftRecord, engine: EngineReady, recipe: RecipeSummary) -> DriftRecord:
    """The record with what is known under this engine and recipe.

    Nothing yet if it is new; under another calibration scores and rejects are learned anew.
    """
    under = Under(
        recipe=f"{recipe.id} v{recipe.version}",
        model_sha256=engine.info.model_sha256,
        roi_sha256=engine.roi_sha256,
    )
    known = [one for one in (*record.others, record.steady) if one.baselines != Baselines()]
    steady = next((one for one in known if one.under == under), Steady())
    baselines = steady.baselines
    if steady.calibration_sha256 != engine.calibration_sha256:
        baselines = Baselines(levels={k: level for k, level in baselines.levels.items() if k != SCORE})
    return msgspec.structs.replace(
        record,
        steady=Steady(under=under, calibration_sha256=engine.calibration_sha256, baselines=baselines),
        others=[one for one in known if one.under != under][-OTHERS:],
    )


def with_baselines(record: DriftRecord, baselines: Baselines) -> DriftRecord:
    """The record with other baselines of what is in force."""
    steady = msgspec.structs.replace(record.steady, baselines=baselines)
    return msgspec.structs.replace(record, steady=steady)


def save_drift(station: StationConfig, record: DriftRecord) -> None:
    """Write the record, flushed to the disk: a hold outlasts a loss of power, too.

    Raises:
        OSError: the disk refuses it.
    """
    path = record_path(station, record.camera)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(record, path)
    sync_directory(path.parent)
