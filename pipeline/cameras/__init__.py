"""Cameras behind one protocol, one small file per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config import (
    AravisCameraConfig,
    FolderCameraConfig,
    GenicamCameraConfig,
    SimulatedCameraConfig,
)

if TYPE_CHECKING:
    from pipeline.cameras.camera import Camera
    from pipeline.config import CameraConfig


def open_camera(config: CameraConfig, *, camera_epoch: int = 0) -> Camera:
    """Open and arm the camera that the configuration describes; `camera_epoch` goes into its headers.

    Each kind is imported here, when it is asked for: a station without Basler cameras has no pypylon, and
    who imports only the protocol loads neither OpenCV nor Pillow.

    Raises:
        CameraError: it cannot be opened; the message says what was found and what to do.
    """
    if isinstance(config, SimulatedCameraConfig):
        from pipeline.cameras.simulated import SimulatedCamera

        return SimulatedCamera(config, camera_epoch=camera_epoch)
    if isinstance(config, FolderCameraConfig):
        from pipeline.cameras.folder import FolderCamera

        return FolderCamera(config, camera_epoch=camera_epoch)
    if isinstance(config, AravisCameraConfig):
        from pipeline.cameras.aravis import AravisCamera

        return AravisCamera(config, camera_epoch=camera_epoch)
    if isinstance(config, GenicamCameraConfig):
        from pipeline.cameras.genicam import GenicamCamera

        return GenicamCamera(config, camera_epoch=camera_epoch)
    from pipeline.cameras.pylon import PylonCamera

    return PylonCamera(config, camera_epoch=camera_epoch)
