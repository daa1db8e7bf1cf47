"""Cameras behind one protocol, one small file per kind."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pipeline.camera_config import (
    AravisCameraConfig,
    FolderCameraConfig,
    GenicamCameraConfig,
    PylonCameraConfig,
    RecordingCameraConfig,
    SimulatedCameraConfig,
    V4l2CameraConfig,
    VideoCameraConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.camera_config import CameraConfig
    from pipeline.cameras.camera import Camera

_OPENERS: dict[type[CameraConfig], tuple[str, str]] = {
    SimulatedCameraConfig: ("simulated", "SimulatedCamera"),
    FolderCameraConfig: ("folder", "FolderCamera"),
    RecordingCameraConfig: ("recording", "RecordingCamera"),
    VideoCameraConfig: ("video", "open_video"),
    V4l2CameraConfig: ("v4l2", "V4l2Camera"),
    AravisCameraConfig: ("aravis", "AravisCamera"),
    GenicamCameraConfig: ("genicam", "GenicamCamera"),
    PylonCameraConfig: ("pylon", "PylonCamera"),
}


def open_camera(config: CameraConfig, *, camera_epoch: int = 0) -> Camera:
    """Open and arm the camera that the configuration describes; `camera_epoch` goes into its headers.

    Each kind is imported here, when it is asked for: a station without Basler cameras has no pypylon, and
    who imports only the protocol loads neither OpenCV nor Pillow.

    Raises:
        CameraError: it cannot be opened; the message says what was found and what to do.
    """
    module, name = _OPENERS[type(config)]
    opener: Callable[..., Camera] = getattr(importlib.import_module(f"pipeline.cameras.{module}"), name)
    return opener(config, camera_epoch=camera_epoch)
