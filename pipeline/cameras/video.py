"""RTSP streams of network cameras through PyAV; for video files see `pipeline.cameras.video_file`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cameras.camera import CameraError, CameraInfo, no_software_trigger
from pipeline.cameras.counters import FrameCounter
from pipeline.cameras.live import Selection
from pipeline.cameras.stream_reader import StreamReader
from pipeline.cameras.video_decoder import PixelReader, check_picture, load_av, mask_url
from pipeline.cameras.video_file import VideoFileCamera
from pipeline.frame import Frame, FrameHeader

if TYPE_CHECKING:
    from typing_extensions import Self

    from pipeline.camera_config import CameraConfig, VideoCameraConfig
    from pipeline.cameras.camera import Camera
    from pipeline.cameras.live import Arrival


def open_video(config: VideoCameraConfig, *, camera_epoch: int = 0) -> Camera:
    """The stream or the file that `url` names, opened.

    Raises:
        CameraError: it cannot be opened.
    """
    if config.is_stream:
        return VideoStreamCamera(config, camera_epoch=camera_epoch)
    return VideoFileCamera(config, camera_epoch=camera_epoch)


class VideoStreamCamera:
    """One RTSP stream, opened, with its first live picture decoded.

    `freerun`: the newest picture; skipped ones show as a gap in `frame_id`. `software`: the first picture
    that was due to arrive after the trigger. The camera is not told of the trigger: a picture was exposed
    before it arrived, by what encoding and transfer take, which cannot be known here. `frame_id` then counts
    the pictures handed over, `raw_frame_id` those of the stream, missing ones included. No input line.

    `exposed_ns` is the arrival less the picture's lag behind the least delayed ones; `pipeline.cameras.live`
    also says when a picture is old and when it is whole. One that is not whole is delivered with
    `complete=False`, black.

    Raises:
        CameraError: it cannot be opened in the time, or has another size or kind of pixels.
    """

    def __init__(self, config: VideoCameraConfig, *, camera_epoch: int = 0) -> None:
        self._config = config
        self._camera_epoch = camera_epoch
        source = config.trigger.source
        if source not in {"freerun", "software"}:
            raise self._error(
                f"found the trigger source {source!r}, but a stream has no input line. Set 'freerun' or "
                "'software'"
            )
        av = load_av()
        self._counter = FrameCounter()
        self._pixels = PixelReader(av, config.pixel_format)
        self._closed = False
        self._reader = StreamReader(av, config, Selection(source))
        try:
            self._info = self._check()
        except CameraError:
            self.close()
            raise

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        return self._info

    def trigger(self) -> None:
        """Ask for one frame; lost, but counted, while one is pending."""
        self._check_open()
        if self._config.trigger.source != "software":
            raise no_software_trigger(f"Video camera {self._config.name}", self._config.trigger.source)
        try:
            self._reader.trigger()
        except CameraError as error:
            raise self._lost("lost", error) from None

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came."""
        self._check_open()
        try:
            taken = self._reader.take(timeout_s)
        except CameraError as error:
            raise self._lost("lost", error) from None
        return self._frame(*taken) if taken is not None else None

    def adjust(self, config: CameraConfig) -> float | None:
        """A stream has no settings of ours."""
        self._check_open()
        return None

    def probe(self) -> None:
        """Whether pictures come: with trigger source `software` nobody reads between two triggers."""
        try:
            self._reader.check()
        except CameraError as error:
            raise self._lost("lost", error) from None

    def close(self) -> None:
        """Leave the stream; safe to call again."""
        if not self._closed:
            self._closed = True
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> CameraInfo:
        try:
            picture = self._reader.first_picture()
        except CameraError as error:
            raise self._lost("cannot be opened", error) from None
        check_picture(self._config.name, self._config, picture)
        return CameraInfo(
            name=self._config.name,
            kind="video",
            vendor="RTSP",
            model=f"{self._reader.codec} stream",
            serial=mask_url(self._config.url),
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            pixel_format=self._config.pixel_format,
            simulated=False,
        )

    def _frame(self, arrival: Arrival, trigger_count: int | None) -> Frame:
        freerun = self._config.trigger.source == "freerun"
        picture = arrival.picture
        pixels = self._pixels.pixels(picture)
        header = FrameHeader(
            camera=self._config.name,
            frame_id=self._counter.advance(arrival.number if freerun else None),
            raw_frame_id=arrival.number,
            camera_epoch=self._camera_epoch,
            width_px=picture.width,
            height_px=picture.height,
            pixel_format=self._config.pixel_format,
            complete=arrival.whole,
            exposed_ns=arrival.exposed_ns,
            received_ns=time.monotonic_ns(),
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=arrival.pts_ns,
            camera_clock="device",
            trigger_count=trigger_count,
        )
        return Frame(header, pixels if arrival.whole else np.zeros_like(pixels))

    def _check_open(self) -> None:
        if self._closed:
            raise CameraError(f"Video camera {self._config.name} is closed. Open it again.")

    def _lost(self, what: str, reason: CameraError) -> CameraError:
        return self._error(
            f"{what}: {reason}. Check the address, the network and the camera's power, then open it again"
        )

    def _error(self, text: str) -> CameraError:
        return CameraError(f"Video camera {self._config.name} ({mask_url(self._config.url)}): {text}.")
