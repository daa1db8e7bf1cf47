"""A station's configuration with a recording in the place of its cameras. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pipeline.camera_config import RecordingCameraConfig, TriggerConfig
from pipeline.config import ConfigError
from pipeline.log_config import LoggingConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from pipeline.recording_reader import Recording

Pace = Literal["fastest", "recorded"]
NO_HURRY_MS = 60_000.0


def replay_config(config: Config, recording: Recording, pace: Pace) -> Config:
    """The same station with the recording in place of its cameras.

    It has sockets of its own, so that no output acts on a replay; its journal lies in a directory `replay`
    inside the configured one; it archives nothing, logs to the terminal only, and keeps nothing for
    consumers; every heatmap is published. With pace `fastest` frames are asked for one by one, and there is
    no hurry: the deadline is `NO_HURRY_MS`.

    Raises:
        ConfigError: recording and configuration do not have the same cameras.
    """
    names = {camera.name for camera in config.cameras}
    if names != set(recording.cameras):
        raise ConfigError(
            f"{recording.path}: found cameras {_list(recording.cameras)}, expected those of the "
            f"configuration: {_list(names)}. Name them alike, or record again with that configuration."
        )
    station = msgspec.structs.replace(
        config.station,
        journal_dir=str(Path(config.station.journal_dir) / "replay"),
        live_output=False,
        deadline_ms=NO_HURRY_MS if pace == "fastest" else config.station.deadline_ms,
    )
    local = "tcp://127.0.0.1:*"
    return msgspec.structs.replace(
        config,
        station=station,
        recipes_dir=None,
        sockets=msgspec.structs.replace(config.sockets, results=local, heatmaps=local, replay=local),
        security=None,
        consumers=(),
        archive=None,
        logging=LoggingConfig(),
        cameras=[_camera(camera, recording, pace) for camera in config.cameras],
        heatmap=msgspec.structs.replace(config.heatmap, policy="all", codec="none"),
    )


def _camera(camera: CameraConfig, recording: Recording, pace: Pace) -> RecordingCameraConfig:
    return RecordingCameraConfig(
        name=camera.name,
        width_px=camera.width_px,
        height_px=camera.height_px,
        pixel_format=camera.pixel_format,
        trigger=TriggerConfig(source="software" if pace == "fastest" else "line", frame_timeout_ms=60_000),
        file=str(recording.path),
        pace=pace,
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
