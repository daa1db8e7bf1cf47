"""A frame: one image and everything that is known of how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PixelFormat = Literal["Mono8", "RGB8"]
CameraClock = Literal["device", "host", "none"]
CHANNELS: dict[PixelFormat, int] = {"Mono8": 1, "RGB8": 3}


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a frame but its pixels; it travels unchanged from the camera to the result.

    `frame_id` counts the frames of one camera from 0 within one `camera_epoch` (one opening of the device)
    and never wraps; `raw_frame_id` is the device's own, wrapping counter. `exposed_ns` and `received_ns`
    are the host's monotonic clock, `received_utc_ns` UTC; `camera_timestamp_ns` is in the device's clock.
    `replaced` counts the older frames that a free-running camera's newest one took the place of on this host.
    `clock_drift_ppm` is how much faster the host's clock runs than the device's, None where it is not known.
    `truth` is what a simulated part really is ("good" or the defect's name), None for a real camera.
    """

    camera: str
    frame_id: int
    raw_frame_id: int
    camera_epoch: int
    width_px: int
    height_px: int
    pixel_format: PixelFormat
    complete: bool
    exposed_ns: int
    received_ns: int
    received_utc_ns: int
    camera_timestamp_ns: int = 0
    camera_clock: CameraClock = "none"
    clock_drift_ppm: float | None = None
    replaced: int = 0
    trigger_count: int | None = None
    encoder_count: int | None = None
    simulated: bool = False
    source: str | None = None
    truth: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixel array: (H, W) for Mono8, (H, W, 3) for RGB8."""
        if self.pixel_format == "Mono8":
            return (self.height_px, self.width_px)
        return (self.height_px, self.width_px, CHANNELS[self.pixel_format])


class Frame(msgspec.Struct, frozen=True):
    """A header and its pixels: uint8, (H, W) for Mono8, (H, W, 3) for RGB8.

    The pixels belong to the camera and are valid until its next `read` or `close`: copy what you keep.
    """

    header: FrameHeader
    pixels: NDArray[np.uint8]


def frame_bytes(width_px: int, height_px: int, pixel_format: PixelFormat) -> int:
    """Bytes that the pixels of one frame take."""
    return width_px * height_px * CHANNELS[pixel_format]
