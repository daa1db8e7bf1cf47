"""Frames of a recording (`hlgfa record`), served like a camera."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError
from pipeline.cameras.paced import PacedCamera, Picture
from pipeline.cameras.schedule import RecordedSchedule
from pipeline.recording import RecordingError, open_recording

if TYPE_CHECKING:
    from pipeline.camera_config import RecordingCameraConfig
    from pipeline.cameras.camera import CameraInfo
    from pipeline.cameras.schedule import Schedule
    from pipeline.recording_index import FrameRef
    from pipeline.recording_reader import Recording

_log = logging.getLogger(__name__)


class RecordingCamera(PacedCamera):
    """One channel of a recording: the same pixels in the same order, however often it is played.

    Kept of the recorded headers: size and pixel format, `complete`, `source`, `truth`, `encoder_count`,
    `raw_frame_id`, and the device's timestamp. New are the camera's name, `frame_id` (from 0 without a gap),
    `camera_epoch`, `trigger_count` and all times of the host. A frame that is damaged in the file is
    delivered with `complete=False` and black pixels, and logged.

    With pace `recorded` the cameras of one recording keep their distance in time if they start together.
    For the schedule and a late reader see `pipeline.cameras.belt`; with trigger source `software` no frame
    is ever skipped. After the last one `read` raises `EndOfFramesError`, unless `loop` is set. The parts
    are not on the line now, so `simulated` is True.

    Raises:
        CameraError: the file is missing or no recording, or it has no frame of this camera.
    """

    def __init__(self, config: RecordingCameraConfig, *, camera_epoch: int = 0) -> None:
        try:
            recording = open_recording(Path(config.file))
        except RecordingError as error:
            raise CameraError(f"Recording camera {config.name}: {error}") from error
        channel = config.channel or config.name
        refs = recording.frames_of(channel)
        if not refs:
            recording.close()
            raise CameraError(
                f"Recording camera {config.name}: found no frame of {channel!r} in {config.file}, expected "
                f"one of: {', '.join(recording.cameras) or 'nothing, it is empty'}. Set `channel`."
            )
        self._recording = recording
        info = _info(config, recording.cameras[channel])

        def make(index: int) -> Picture:
            return _picture(recording, refs[index % len(refs)], info)

        parts = None if config.loop else len(refs)
        belt = Belt(config.trigger.source, _pace(config, recording, refs), parts)
        super().__init__(info, belt, make, camera_epoch=camera_epoch)

    def close(self) -> None:
        """Stop the worker and close the file; safe to call again."""
        super().close()
        self._recording.close()


def _info(config: RecordingCameraConfig, recorded: CameraInfo) -> CameraInfo:
    return msgspec.structs.replace(
        recorded,
        name=config.name,
        kind="recording",
        model=f"recording of {recorded.model}",
        simulated=True,
        paced=True,
        waits=config.pace == "fastest",
    )


def _pace(
    config: RecordingCameraConfig, recording: Recording, refs: list[FrameRef]
) -> float | Schedule | None:
    if config.pace == "fastest":
        return None
    if config.pace == "recorded":
        first_ns = recording.frames[0].exposed_utc_ns
        return RecordedSchedule([ref.exposed_utc_ns - first_ns for ref in refs])
    return config.pace


def _picture(recording: Recording, ref: FrameRef, info: CameraInfo) -> Picture:
    try:
        frame = recording.read(ref)
    except RecordingError as error:
        _log.warning("camera %s: %s Its frame is marked incomplete.", info.name, error)
        shape = (info.height_px, info.width_px, 3)[: 2 if info.pixel_format == "Mono8" else 3]
        return Picture(np.zeros(shape, np.uint8), info.pixel_format, complete=False)
    header = frame.header
    return Picture(
        frame.pixels,
        header.pixel_format,
        complete=header.complete,
        source=header.source,
        truth=header.truth,
        recorded=header,
    )
