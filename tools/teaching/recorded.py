"""Parts that were recorded before, in place of a camera: a recording, or a folder of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.camera_config import FolderCameraConfig, RecordingCameraConfig, TriggerConfig
from pipeline.config import ConfigError
from pipeline.recording import open_recording

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.camera_config import CameraConfig


class HasFormat(Protocol):
    """Cameras, as configured and as opened, and their frames."""

    @property
    def width_px(self) -> int:
        """Of an image."""

    @property
    def height_px(self) -> int:
        """Of an image."""

    @property
    def pixel_format(self) -> str:
        """Mono8 or RGB8."""


def said_format(of: HasFormat) -> str:
    """Size and pixel format for people, such as "64x64 Mono8"."""
    return f"{of.width_px}x{of.height_px} {of.pixel_format}"


def recorded_camera(camera: CameraConfig, source: Path) -> CameraConfig:
    """A camera of the same name and format that serves a recording or a folder of images, none skipped.

    Raises:
        ConfigError: it is neither, or a recording without frames of this camera in its format.
        RecordingError: the recording cannot be read.
    """
    trigger = TriggerConfig(source="software", period_ms=1)
    common = {
        "name": camera.name,
        "width_px": camera.width_px,
        "height_px": camera.height_px,
        "pixel_format": camera.pixel_format,
        "trigger": trigger,
    }
    if source.is_dir():
        return FolderCameraConfig(**common, directory=str(source))  # type: ignore[arg-type]
    if source.is_file() and source.suffix == ".mcap":
        _check_recording(camera, source)
        return RecordingCameraConfig(**common, file=str(source), pace="fastest")  # type: ignore[arg-type]
    raise ConfigError(f"--from: found {source}, expected a recording FILE.mcap, or a folder of images.")


def _check_recording(camera: CameraConfig, source: Path) -> None:
    with open_recording(source) as recording:
        known = recording.cameras
    if camera.name not in known:
        raise ConfigError(
            f"--from: found frames of {', '.join(known) or 'no camera'} in {source}, expected some of "
            f"{camera.name}. Record that one: hlgfa record --camera {camera.name}."
        )
    found = known[camera.name]
    if said_format(found) != said_format(camera):
        raise ConfigError(
            f"--from: found frames of {said_format(found)} of {camera.name} in {source}, expected "
            f"{said_format(camera)} as the camera has them now. Record it anew, or set the camera as it was."
        )
