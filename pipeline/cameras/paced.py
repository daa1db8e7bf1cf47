"""Cameras without a device: pictures made on this host, handed over as `pipeline.cameras.belt` says."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from pipeline.cameras.camera import CameraError, CameraInfo, EndOfFramesError, no_software_trigger
from pipeline.frame import Frame, FrameHeader, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.camera_config import CameraConfig
    from pipeline.cameras.belt import Belt, Exposure


class Picture(msgspec.Struct, frozen=True):
    """What a camera shows of one part, made ahead of its time. Pixels: uint8, (H, W) or (H, W, 3).

    `recorded` is the header that a real camera once gave the frame: what it says of the device is kept.
    """

    pixels: NDArray[np.uint8]
    pixel_format: PixelFormat
    complete: bool = True
    source: str | None = None
    truth: str | None = None
    recorded: FrameHeader | None = None


class PacedCamera:
    """The camera protocol over a belt and a function that makes the picture of part n.

    The next picture is made by a worker thread as soon as the last one is handed over, so that its cost
    (rendering, decoding: calls that release the GIL) is not part of the latency.
    """

    def __init__(
        self,
        info: CameraInfo,
        belt: Belt,
        make: Callable[[int], Picture],
        *,
        camera_epoch: int,
        encoder_counts: int | None = None,
    ) -> None:
        self._info = info
        self._belt = belt
        self._make = make
        self._camera_epoch = camera_epoch
        self._encoder_counts = encoder_counts
        self._next_index = 0
        self._closed = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"camera-{info.name}")
        self._ahead = self._make_ahead(0)
        self._ahead[1].exception()  # warm before it is called open; an error is raised by `read`

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        return self._info

    def trigger(self) -> None:
        """Ask for one frame; lost, but counted, while one is pending."""
        self._check_open()
        if self._belt.source != "software":
            raise no_software_trigger(f"Camera {self._info.name}", self._belt.source)
        self._belt.trigger(time.monotonic_ns())

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds (or as long as making its picture takes)."""
        self._check_open()
        until_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        while (exposure := self._belt.take(time.monotonic_ns())) is None:
            if self._belt.ended:
                raise EndOfFramesError(f"Camera {self._info.name} has served all {self._belt.parts} images.")
            next_ns = self._belt.next_ns
            if next_ns is None or next_ns > until_ns:
                _sleep_until(until_ns)
                return None
            _sleep_until(next_ns)
        return self._hand_over(exposure)

    def adjust(self, config: CameraConfig) -> float | None:
        """Pictures that come from files want the camera opened again."""
        self._check_open()
        return None

    def probe(self) -> None:
        """There is no device that could be lost."""

    def close(self) -> None:
        """Stop the worker; safe to call again."""
        self._closed = True
        self._worker.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise CameraError(f"Camera {self._info.name} is closed. Open it again.")

    def _make_anew(self) -> None:
        """The picture that was made ahead is not what it would be now."""
        self._ahead = self._make_ahead(self._next_index)

    def _make_ahead(self, index: int) -> tuple[int, Future[Picture]]:
        return index, self._worker.submit(self._make, index)

    def _hand_over(self, exposure: Exposure) -> Frame:
        replaced = exposure.index - self._next_index if self._belt.source == "freerun" else 0
        self._next_index = exposure.index + 1
        ahead, future = self._ahead
        if ahead != exposure.index:
            future = self._make_ahead(exposure.index)[1]
        picture = future.result()
        if self._belt.parts is None or exposure.index + 1 < self._belt.parts:
            self._ahead = self._make_ahead(exposure.index + 1)
        height_px, width_px = picture.pixels.shape[:2]
        header = FrameHeader(
            camera=self._info.name,
            frame_id=exposure.index,
            raw_frame_id=exposure.index,
            camera_epoch=self._camera_epoch,
            width_px=width_px,
            height_px=height_px,
            pixel_format=picture.pixel_format,
            complete=picture.complete,
            exposed_ns=exposure.exposed_ns,
            received_ns=time.monotonic_ns(),
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=exposure.exposed_ns,
            camera_clock="host",
            replaced=replaced,
            trigger_count=exposure.trigger_count,
            encoder_count=None if self._encoder_counts is None else self._encoder_counts * exposure.index,
            simulated=self._info.simulated,
            source=picture.source,
            truth=picture.truth,
        )
        if picture.recorded is not None:
            header = _with_device(header, picture.recorded)
        return Frame(header, picture.pixels)


def _with_device(header: FrameHeader, recorded: FrameHeader) -> FrameHeader:
    """The header with what the device once said; a clock that was the host's then is not the host's now."""
    return msgspec.structs.replace(
        header,
        raw_frame_id=recorded.raw_frame_id,
        camera_timestamp_ns=recorded.camera_timestamp_ns,
        camera_clock="none" if recorded.camera_clock == "none" else "device",
        encoder_count=recorded.encoder_count,
    )


def _sleep_until(monotonic_ns: int) -> None:
    time.sleep(max(0, monotonic_ns - time.monotonic_ns()) / 1e9)
