"""USB and other cameras of the Linux kernel (V4L2); no library, see `pipeline.cameras.v4l2_abi`."""

from __future__ import annotations

import errno
import mmap
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cameras import v4l2_abi as abi
from pipeline.cameras.camera import CameraError, CameraInfo, FoundCamera
from pipeline.cameras.counters import FrameCounter
from pipeline.cameras.v4l2_devices import capabilities, find_cameras, select_path
from pipeline.cameras.v4l2_pixels import pixels_of
from pipeline.cameras.v4l2_settings import V4l2Settings
from pipeline.frame import Frame, FrameHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.config import V4l2CameraConfig

BUFFERS = 4
_VIRTUAL_DRIVERS = ("vivid",)


def discover() -> list[FoundCamera]:
    """The cameras that the kernel has."""
    return find_cameras()


class V4l2Camera:
    """One V4L2 camera, set and streaming into `BUFFERS` mapped buffers.

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
        if config.trigger.source == "line":
            raise CameraError(
                f"V4L2 camera {config.name}: found the trigger source 'line', but V4L2 knows no input line. "
                "Set 'freerun' or 'software'."
            )
        self._counter = FrameCounter()
        self._triggers = 0
        self._pending: tuple[int, int] | None = None  # when, and how many triggers up to it
        self._maps: list[mmap.mmap] = []
        self._device: abi.Device | None = None
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
            raise CameraError(
                f"V4L2 camera {self._config.name} was asked for a software trigger, but its trigger source "
                f"is {self._config.trigger.source!r}. Set trigger.source to 'software'."
            )
        self._triggers += 1
        if self._pending is None:
            self._pending = (time.monotonic_ns(), self._triggers)

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came."""
        device = self._opened()
        until_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        with self._explained("be read"):
            while True:
                taken = self._take(device)
                if taken is not None:
                    return self._frame(device, *taken)
                now_ns = time.monotonic_ns()
                if now_ns >= self._silent_ns:
                    raise self._lost("be read", f"no picture for {self._config.read_timeout_ms} ms")
                if now_ns >= until_ns:
                    return None
                device.wait((min(until_ns, self._silent_ns) - now_ns) / 1e9)

    def close(self) -> None:
        """Stop the stream and release the device; safe to call again, also after it was unplugged."""
        device, self._device = self._device, None
        if device is None:
            return
        with suppress(OSError):  # an unplugged device cannot be stopped, only forgotten
            device.ask(abi.VIDIOC_STREAMOFF, abi.BufferType(type=abi.CAPTURE))
        for mapped in self._maps:
            mapped.close()
        self._maps = []
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
        self._start(device)
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

    def _start(self, device: abi.Device) -> None:
        asked = abi.BufferRequest(count=BUFFERS, type=abi.CAPTURE, memory=abi.MMAP)
        granted = device.ask(abi.VIDIOC_REQBUFS, asked).count
        for index in range(granted):
            buffer = device.ask(
                abi.VIDIOC_QUERYBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MMAP)
            )
            offset = buffer.offset & 0xFFFF_FFFF
            self._maps.append(mmap.mmap(device.fd, buffer.length, offset=offset))
            self._give_back(device, index)
        device.ask(abi.VIDIOC_STREAMON, abi.BufferType(type=abi.CAPTURE))
        self._heard()

    def _heard(self) -> None:
        """The device has just shown that it is alive; how long it may be silent from now on."""
        self._silent_ns = time.monotonic_ns() + self._config.read_timeout_ms * 1_000_000

    def _take(self, device: abi.Device) -> tuple[abi.Buffer, int] | None:
        """The buffer that the trigger source selects, and when it was exposed; all others go back."""
        kept: tuple[abi.Buffer, int] | None = None
        filled = 0
        while (buffer := self._dequeue(device)) is not None:
            filled += 1
            exposed_ns = self._exposed_ns(buffer)
            if self._config.trigger.source == "software":
                if self._pending is not None and exposed_ns >= self._pending[0]:
                    return buffer, exposed_ns
                self._give_back(device, buffer.index)
                continue
            if kept is not None:
                self._give_back(device, kept[0].index)
            kept = buffer, exposed_ns
        if kept is not None and filled >= len(self._maps):  # the kernel ran out of buffers: all are old
            self._give_back(device, kept[0].index)
            return None
        return kept

    def _dequeue(self, device: abi.Device) -> abi.Buffer | None:
        try:
            buffer = device.ask(abi.VIDIOC_DQBUF, abi.Buffer(type=abi.CAPTURE, memory=abi.MMAP))
        except BlockingIOError:
            return None
        self._heard()
        return buffer

    def _give_back(self, device: abi.Device, index: int) -> None:
        device.ask(abi.VIDIOC_QBUF, abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MMAP))

    def _exposed_ns(self, buffer: abi.Buffer) -> int:
        if buffer.flags & abi.BUF_FLAG_TIMESTAMP_MASK != abi.BUF_FLAG_TIMESTAMP_MONOTONIC:
            return time.monotonic_ns()
        stamp_ns = int(buffer.seconds) * 10**9 + int(buffer.microseconds) * 1_000
        if buffer.flags & abi.BUF_FLAG_TSTAMP_SRC_MASK == abi.BUF_FLAG_TSTAMP_SRC_SOE:
            return stamp_ns
        return stamp_ns - round((self._config.exposure_us or 0.0) * 1e3)

    def _frame(self, device: abi.Device, buffer: abi.Buffer, exposed_ns: int) -> Frame:
        raw = int(buffer.sequence)
        pixels = self._pixels(buffer)
        self._give_back(device, buffer.index)
        monotonic = buffer.flags & abi.BUF_FLAG_TIMESTAMP_MASK == abi.BUF_FLAG_TIMESTAMP_MONOTONIC
        header = FrameHeader(
            camera=self._config.name,
            frame_id=self._number(raw),
            raw_frame_id=raw,
            camera_epoch=self._camera_epoch,
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            pixel_format=self._config.pixel_format,
            complete=pixels is not None,
            exposed_ns=exposed_ns,
            received_ns=time.monotonic_ns(),
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=int(buffer.seconds) * 10**9 + int(buffer.microseconds) * 1_000,
            camera_clock="host" if monotonic else "device",
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

    def _pixels(self, buffer: abi.Buffer) -> NDArray[np.uint8] | None:
        if buffer.flags & abi.BUF_FLAG_ERROR:
            return None
        data = np.frombuffer(self._maps[buffer.index], np.uint8, buffer.bytesused)
        return pixels_of(
            data,
            self._layout.name,
            self._config.pixel_format,
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            row_bytes=self._layout.row_bytes,
        )

    def _opened(self) -> abi.Device:
        if self._device is None:
            raise CameraError(f"V4L2 camera {self._config.name} is closed. Open it again.")
        return self._device

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
            reasons = {errno.ENODEV: "it is gone (unplugged)", errno.EBUSY: "another program uses it"}
            raise self._lost(action, reasons.get(error.errno or 0, str(error))) from error
