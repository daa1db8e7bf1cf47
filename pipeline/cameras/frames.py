"""The frames of an opened camera for whoever is not the station: commands that record or save them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.cameras.camera import CameraError, EndOfFramesError
from pipeline.config import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig, TriggerConfig
    from pipeline.cameras.camera import Camera
    from pipeline.frame import Frame

READ_S = 0.05


def check_triggered(config: CameraConfig) -> None:
    """Refuse a camera that waits for somebody to ask.

    Raises:
        ConfigError: its trigger source is `software` without a period.
    """
    if config.trigger.source == "software" and config.trigger.period_ms is None:
        raise ConfigError(
            f"camera {config.name}: found trigger source 'software' without period_ms, expected a camera "
            "whose frames come by themselves. Set trigger.period_ms, or another trigger.source."
        )


def frames_of(camera: Camera, trigger: TriggerConfig, stopped: threading.Event) -> Iterator[Frame]:
    """Frames as they come, until the event is set or recorded images are used up.

    With a software trigger one is asked for every `period_ms`; a missed period is not made up for. A frame
    is valid until the next one is asked for.

    Raises:
        CameraError: the camera is lost, or gave no frame for a trigger in time.
    """
    try:
        if trigger.source == "software":
            yield from _triggered(camera, trigger, stopped)
        while not stopped.is_set():
            frame = camera.read(READ_S)
            if frame is not None:
                yield frame
    except EndOfFramesError:
        return


def _triggered(camera: Camera, trigger: TriggerConfig, stopped: threading.Event) -> Iterator[Frame]:
    period_s = (trigger.period_ms or 0.0) / 1e3
    due_s = time.monotonic()
    while not stopped.wait(max(0.0, due_s - time.monotonic())):
        due_s = max(due_s + period_s, time.monotonic())
        camera.trigger()
        frame = camera.read(trigger.frame_timeout_ms / 1e3)
        if frame is None:
            raise CameraError(
                f"camera {camera.info.name}: no frame within {trigger.frame_timeout_ms} ms of its trigger"
            )
        yield frame
