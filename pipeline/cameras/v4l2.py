"""USB and other cameras of the Linux kernel (V4L2); no library, see `pipeline.cameras.v4l2_abi`."""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline.camera_config import V4l2CameraConfig
from pipeline.cameras import v4l2_abi as abi
from pipeline.cameras.camera import CameraError, CameraInfo, FoundCamera, no_software_trigger
from pipeline.cameras.counters import FrameCounter
from pipeline.cameras.v4l2_devices import capabilities, find_cameras, select_path
from pipeline.cameras.v4l2_pixels import pixels_of
from pipeline.cameras.v4l2_settings import V4l2Settings
from pipeline.cameras.v4l2_stream import V4l2Stream
from pipeline.frame import Frame, FrameHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.camera_config import CameraConfig
    from pipeline.cameras.v4l2_stream import Filled

SETTLED_PICTURES, LONGEST_STEP_S = 4, 0.25
"""USB cameras show a new exposure two or three pictures after they were told of it."""
_VIRTUAL_DRIVERS = ("vivid",)
_REASONS = {
    errno.ENODEV: "it is gone (unplugged)",
    errno.EBUSY: "another program uses it",
    errno.ENOSPC: "the USB bus has too little bandwidth left",
}


def discover() -> list[FoundCamera]:
    """The cameras that the kernel has."""
    return find_cameras()


class V4l2Camera:
    """One V4L2 camera, set and streaming.

    `freerun`: the newest picture; skipped ones, and those that the kernel had no buffer for, show as a gap in
    `frame_id`. Pictures that waited while nobody read are old and skipped. `software`: the first picture
    exposed after the trigger, the camera is not told of it; `frame_id` then counts the pictures handed over.
    There is no input line.

    `exposed_ns` is the kernel's timestamp (monotonic), less the exposure time if the driver takes it at the
    end of the picture and `exposure_us` is set; the arrival, if the driver has another clock. A picture that
    the driver marks as faulty, or that is too short, is delivered with `complete=False`, black.

    Raises:
        CameraError: no such camera, in use elsewhere, or a setting that it does not offer.
    """

    def __init__(self, config: V4l2CameraConfig, *, camera_epoch: int = 0) -> None:
        self._config = config
        self._camera_epoch = camera_epoch
        if config.trigger.every_frame:
            raise CameraError(
                f"V4L2 camera {config.name}: found the trigger source {config.trigger.source!r}, but V4L2 "
                "knows no input line. Set 'freerun' or 'software'."
            )
        self._counter = FrameCounter()
        self._triggers = 0
        self._pending: tuple[int, int] | None = None  # when, and how many triggers up to it
        self._last_ns, self._step_ns = 0, 0  # when the last picture was exposed, and how long after the other
        self._device: abi.Device | None = None
        self._stream: V4l2Stream | None = None
        try:
            with self._explained("be opened"):
                self._info = self._open()
        except CameraError:
            self.close()
            raise

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        return self._info

    def trigger(self) -> None:
        """Ask for one frame; lost, but counted, while one is pending."""
        self._opened()
        if self._config.trigger.source != "software":
            raise no_software_trigger(f"V4L2 camera {self._config.name}", self._config.trigger.source)
        self._triggers += 1
        if self._pending is None:
            self._pending = (time.monotonic_ns(), self._triggers)

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came."""
        device, stream = self._opened()
        until_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        with self._explained("be read"):
            while True:
                taken = self._take(stream)
                if taken is not None:
                    return self._frame(stream, *taken)
                now_ns = time.monotonic_ns()
                if now_ns >= self._silent_ns:
                    raise self._lost("be read", f"no picture for {self._config.read_timeout_ms} ms")
                if now_ns >= until_ns:
                    return None
                device.wait((min(until_ns, self._silent_ns) - now_ns) / 1e9)

    def adjust(self, config: CameraConfig) -> float | None:
        """Set controls while pictures come, see `pipeline.cameras.camera.Camera`."""
        device, _ = self._opened()
        if not isinstance(config, V4l2CameraConfig):
            return None
        try:
            if not V4l2Settings(self._config.name, device).adjust(self._config, config):
                return None
        except OSError:
            return None  # a control that is busy now; a device that is gone cannot be opened either
        self._config = config
        return SETTLED_PICTURES * min(self._step_ns / 1e9, LONGEST_STEP_S)

    def probe(self) -> None:
        """Ask the driver its name: with trigger source `software` nobody reads between two triggers."""
        device = self._device
        if device is not None:
            with self._explained("be read"):
                device.ask(abi.VIDIOC_QUERYCAP, abi.Capability())

    def close(self) -> None:
        """Stop the stream and release the device; safe to call again, also after it was unplugged."""
        device, self._device = self._device, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if device is not None:
            device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> CameraInfo:
        path = select_path(self._config)
        self._device = device = abi.Device(path)
        said, can = capabilities(device)
        if not (can & abi.CAP_VIDEO_CAPTURE and can & abi.CAP_STREAMING):
            raise CameraError(
                f"V4L2 camera {self._config.name}: {path} ({said.card.decode()}) gives no pictures this way; "
                "expected a capture device with one plane. Of a camera's files the first is usually the one."
            )
        self._layout = V4l2Settings(self._config.name, device).apply(self._config)
        self._stream = V4l2Stream(device)
        self._heard()
        return CameraInfo(
            name=self._config.name,
            kind="v4l2",
            vendor=said.driver.decode(),
            model=said.card.decode(),
            serial=self._config.serial or said.bus_info.decode() or path,
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            pixel_format=self._config.pixel_format,
            simulated=said.driver.decode() in _VIRTUAL_DRIVERS,
        )

    def _heard(self) -> None:
        """The device has just shown that it is alive; how long it may be silent from now on."""
        self._silent_ns = time.monotonic_ns() + self._config.read_timeout_ms * 1_000_000

    def _take(self, stream: V4l2Stream) -> tuple[Filled, int] | None:
        """The buffer that the trigger source selects, and when it was exposed; all others go back."""
        kept: tuple[Filled, int] | None = None
        count = 0
        while (filled := stream.take()) is not None:
            self._heard()
            count += 1
            exposed_ns = self._exposed_ns(filled)
            self._last_ns, self._step_ns = exposed_ns, exposed_ns - self._last_ns
            if self._config.trigger.source == "software":
                if self._pending is not None and exposed_ns >= self._pending[0]:
                    return filled, exposed_ns
                stream.give_back(filled.index)
                continue
            if kept is not None:
                stream.give_back(kept[0].index)
            kept = filled, exposed_ns
        if kept is not None and count >= len(stream):  # the driver ran out of buffers: all are old
            stream.give_back(kept[0].index)
            return None
        return kept

    def _exposed_ns(self, filled: Filled) -> int:
        if not filled.monotonic:
            return time.monotonic_ns()
        if filled.stamped_at_start:
            return filled.stamp_ns
        return filled.stamp_ns - round((self._config.exposure_us or 0.0) * 1e3)

    def _frame(self, stream: V4l2Stream, filled: Filled, exposed_ns: int) -> Frame:
        pixels = self._pixels(stream, filled)
        stream.give_back(filled.index)
        header = FrameHeader(
            camera=self._config.name,
            frame_id=self._number(filled.sequence),
            raw_frame_id=filled.sequence,
            camera_epoch=self._camera_epoch,
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            pixel_format=self._config.pixel_format,
            complete=pixels is not None,
            exposed_ns=exposed_ns,
            received_ns=time.monotonic_ns(),
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=filled.stamp_ns,
            camera_clock="host" if filled.monotonic else "device",
            trigger_count=self._pending[1] if self._pending else None,
            simulated=self._info.simulated,
        )
        self._pending = None
        return Frame(header, pixels if pixels is not None else np.zeros(header.shape, np.uint8))

    def _number(self, raw: int) -> int:
        if self._config.trigger.source == "software":
            return self._counter.advance(None)
        try:
            return self._counter.advance(raw)
        except ValueError as error:
            raise self._lost("be read", str(error)) from error

    def _pixels(self, stream: V4l2Stream, filled: Filled) -> NDArray[np.uint8] | None:
        if filled.faulty:
            return None
        return pixels_of(
            stream.data(filled),
            self._layout.name,
            self._config.pixel_format,
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            row_bytes=self._layout.row_bytes,
        )

    def _opened(self) -> tuple[abi.Device, V4l2Stream]:
        if self._device is None or self._stream is None:
            raise CameraError(f"V4L2 camera {self._config.name} is closed. Open it again.")
        return self._device, self._stream

    def _lost(self, action: str, reason: str) -> CameraError:
        return CameraError(
            f"V4L2 camera {self._config.name} cannot {action}: {reason}. Check the cable and that no other "
            "program uses it, then open it again."
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn the kernel's errors into ours."""
        try:
            yield
        except OSError as error:
            raise self._lost(action, _REASONS.get(error.errno or 0, str(error))) from error
