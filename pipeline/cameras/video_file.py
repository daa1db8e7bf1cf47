"""Recorded video, served like a camera: every picture of the file, in order."""

from __future__ import annotations

import logging
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.live import Wholeness
from pipeline.cameras.paced import PacedCamera, Picture
from pipeline.cameras.video_decoder import PixelReader, check_picture, load_av, reason, video_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import VideoCameraConfig

_log = logging.getLogger(__name__)


class VideoFileCamera(PacedCamera):
    """The pictures of a video file in the order of their timestamps; `header.source` is `NAME#NUMBER`.

    They pass at `rate_hz`, or at the file's average rate; for the schedule and a late reader see
    `pipeline.cameras.belt`. A picture that cannot be decoded or that the decoder calls damaged, and those
    after it up to the next key frame, are delivered with `complete=False`, black. After the last one `read`
    raises `EndOfFramesError`, unless `loop` is set. The parts are not on the line now: `simulated` is True.

    Raises:
        CameraError: the file is missing or no video, or has another size or kind of pixels.
    """

    def __init__(self, config: VideoCameraConfig, *, camera_epoch: int = 0) -> None:
        av = load_av()
        path = Path(config.url)
        self._file = _VideoFile(av, config.name, path)
        try:
            check_picture(config.name, config, self._file.format)
            rate_hz = config.rate_hz or self._file.rate_hz
            if not rate_hz:
                raise CameraError(f"Video camera {config.name}: {path} has no rate. Set rate_hz.")
        except CameraError:
            self._file.close()
            raise
        info = CameraInfo(
            name=config.name,
            kind="video",
            vendor="HLGFA",
            model="recorded video",
            serial=path.name,
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=True,
            paced=True,
        )
        make = _PictureMaker(info, self._file, PixelReader(av, config.pixel_format), path.name)
        belt = Belt(config.trigger.source, rate_hz, None if config.loop else self._file.pictures)
        super().__init__(info, belt, make, camera_epoch=camera_epoch)

    def close(self) -> None:
        """Stop the worker and close the file; safe to call again."""
        super().close()
        self._file.close()


class _PictureMaker:
    """Makes the picture of part n from the file."""

    def __init__(self, info: CameraInfo, file: _VideoFile, pixels: PixelReader, source: str) -> None:
        self._info = info
        self._file = file
        self._pixels = pixels
        self._source = source

    def __call__(self, index: int) -> Picture:
        number = index % self._file.pictures
        source = f"{self._source}#{number}"
        found = self._file.picture(number)
        if found is not None:
            return Picture(self._pixels.pixels(found), self._info.pixel_format, source=source)
        _log.warning("camera %s: %s is damaged. Its frame is marked incomplete.", self._info.name, source)
        shape = (self._info.height_px, self._info.width_px, 3)[
            : 2 if self._info.pixel_format == "Mono8" else 3
        ]
        return Picture(np.zeros(shape, np.uint8), self._info.pixel_format, complete=False, source=source)


class _VideoFile:
    """One video file, read forward; an earlier picture starts it anew."""

    def __init__(self, av: Any, name: str, path: Path) -> None:
        self._av = av
        self._path = path
        self._container: Any = None
        self._ahead: tuple[int, Any, bool] | None = None
        self._next = 0
        if not path.is_file():
            raise CameraError(
                f"Video camera {name}: found no file {path}, expected a video. Set `url` to one, or to "
                "rtsp://...; a relative path starts at the working directory."
            )
        try:
            self._open()
            self._times = sorted(set(self._packet_times()))
            self._open()
        except av.FFmpegError as error:
            raise CameraError(
                f"Video camera {name}: {path} cannot be read as video: {reason(error)}."
            ) from error
        if self._stream is None or not self._times:
            self.close()
            raise CameraError(
                f"Video camera {name}: found no pictures with timestamps in {path}, expected a video. "
                "A bare stream gets them by `ffmpeg -i FILE -c copy FILE.mkv`."
            )

    @property
    def pictures(self) -> int:
        """How many the file holds."""
        return len(self._times)

    @property
    def format(self) -> Any:
        """What has `width`, `height` and `format` like its pictures."""
        return self._stream.codec_context

    @property
    def rate_hz(self) -> float:
        """The average rate by the timestamps; 0 of a single picture."""
        span_s = float((self._times[-1] - self._times[0]) * self._stream.time_base)
        return (self.pictures - 1) / span_s if span_s else 0.0

    def picture(self, number: int) -> Any:
        """Picture `number`; None if it is damaged, or cannot be read or decoded."""
        try:
            if number < self._next:
                self._open()
            self._next = number + 1
            while self._ahead is None or self._ahead[0] < number:
                self._ahead = next(self._decoded, None)
                if self._ahead is None:
                    return None
        except self._av.FFmpegError:
            return None
        position, picture, whole = self._ahead
        return picture if position == number and whole else None

    def close(self) -> None:
        """Close the file; safe to call again."""
        if self._container is not None:
            self._container.close()

    def _open(self) -> None:
        self.close()
        # A play list in the file must not lead into the network.
        self._container = self._av.open(str(self._path), options={"protocol_whitelist": "file"})
        self._stream = video_stream(self._av, self._container)
        self._decoded = self._decode()
        self._ahead, self._next = None, 0

    def _packet_times(self) -> Iterator[int]:
        if self._stream is None:
            return
        for packet in self._container.demux(self._stream):
            if packet.pts is not None and packet.size and not packet.is_discard:
                yield packet.pts

    def _decode(self) -> Iterator[tuple[int, Any, bool]]:
        """Every decoded picture, its number, and whether it is whole."""
        wholeness = Wholeness()
        expected = 0
        for picture in self._pictures():
            number = bisect_left(self._times, picture.pts)
            missing = number > expected
            expected = number + 1
            yield (
                number,
                picture,
                wholeness.advance(key_frame=picture.key_frame, corrupt=picture.is_corrupt, missing=missing),
            )

    def _pictures(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            try:
                pictures = packet.decode()
            except self._av.error.InvalidDataError:
                continue  # its number is missing, which makes it incomplete
            yield from (picture for picture in pictures if picture.pts is not None)
