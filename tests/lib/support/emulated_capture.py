"""Stage 1 with Basler's emulator, under a test's hand: at SIGUSR1 the emulator fails its next buffer."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from pipeline import capture
from pipeline.cameras.pylon import PylonCamera

if TYPE_CHECKING:
    from pipeline.camera_config import PylonCameraConfig


def _configure(device: Any) -> None:
    def fail_next(*_: object) -> None:
        device.ForceFailedBufferCount.Value = 1
        device.ForceFailedBuffer.Execute()

    signal.signal(signal.SIGUSR1, fail_next)


def _open(config: PylonCameraConfig, *, camera_epoch: int) -> PylonCamera:
    return PylonCamera(config, camera_epoch=camera_epoch, configure=_configure)


if __name__ == "__main__":
    capture.open_camera = _open  # type: ignore[assignment]
    capture.main()
