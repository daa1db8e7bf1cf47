"""PyAV for the video cameras: opening, decoding, pixels; its errors without the credentials of an address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.camera import CameraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.camera_config import VideoCameraConfig
    from pipeline.frame import PixelFormat

# Their first plane is the luma, one byte a pixel; a grey picture has no other.
_LUMA_FORMATS = frozenset(
    (
        *("gray", "nv12", "nv16", "nv21", "nv24"),
        *("yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p"),
        *("yuvj411p", "yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p"),
    )
)
_RGB_FORMATS = frozenset(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr", "gbrp"))
_SPARE_S = 1.0
_SECRETS = re.compile(r"(?i)\b(user(?:name)?|pass(?:word|wd)?|pwd|token|auth)=[^&;/?\s]*")


def mask_url(url: str) -> str:
    """The address without user, password and token, for messages."""
    return _SECRETS.sub(r"\1=***", re.sub(r"(?<=://)\S*@", "***@", url))


def load_av() -> Any:
    """The module `av`.

    Raises:
        CameraError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise CameraError(
            f"A camera of kind video needs PyAV, found none ({error}). Install hlgfa-line[video]."
        ) from error
    return av


def open_stream(av: Any, config: VideoCameraConfig) -> Any:
    """The opened RTSP stream; the container is the caller's to close.

    Raises:
        FFmpegError: it cannot be opened in the time; its text shows the address, see `reason`.
    """
    # The reader sees to the set times; these let its thread end.
    seconds = (config.open_timeout_ms / 1e3 + _SPARE_S, config.read_timeout_ms / 1e3 + _SPARE_S)
    # Its rate is not needed, and to learn it takes a second of pictures.
    options = {"rtsp_transport": config.transport, "fpsprobesize": "0"}
    return av.open(config.url, options=options, timeout=seconds)


def video_stream(av: Any, container: Any) -> Any:
    """The container's video, set to give every picture at once, damaged ones too; None if it has none."""
    if not container.streams.video:
        return None
    stream = container.streams.video[0]
    decoder = stream.codec_context
    decoder.thread_count = 1  # threads by frame would hold pictures back
    decoder.flags |= av.codec.context.Flags.output_corrupt
    return stream


def reason(error: Any) -> str:
    """What an `FFmpegError` says, without the address that its own text shows."""
    if type(error).__name__ == "ExitError":
        return "no answer in the set time"
    return str(error.strerror or type(error).__name__)


def check_picture(name: str, config: VideoCameraConfig, picture: Any) -> None:
    """Refuse another size than the configured one, and a format that cannot give `pixel_format`.

    Raises:
        CameraError: it is another one.
    """
    if (picture.width, picture.height) != (config.width_px, config.height_px):
        raise CameraError(
            f"Video camera {name}: found {picture.width} x {picture.height} px, expected {config.width_px} x "
            f"{config.height_px} px. Set the camera's resolution, or correct width_px and height_px."
        )
    offered = _LUMA_FORMATS if config.pixel_format == "Mono8" else _LUMA_FORMATS | _RGB_FORMATS
    if picture.format.name not in offered:
        raise CameraError(
            f"Video camera {name}: found pixels of the kind {picture.format.name}, expected for "
            f"{config.pixel_format} one of {', '.join(sorted(offered))}. Set the camera or the file to 8 bits"
            f"{', or pixel_format to RGB8' if picture.format.name in _RGB_FORMATS else ''}."
        )


class PixelReader:
    """Decoded pictures as arrays; keeps what a conversion needs from one to the next."""

    def __init__(self, av: Any, pixel_format: PixelFormat) -> None:
        self._format = pixel_format
        self._reformatter = av.video.reformatter.VideoReformatter()

    def pixels(self, picture: Any) -> NDArray[np.uint8]:
        """A copy, uint8: the luma as it was coded (H, W), or RGB (H, W, 3)."""
        if self._format == "Mono8":
            plane = picture.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            return rows[: picture.height, : picture.width].copy()
        rgb = self._reformatter.reformat(picture, format="rgb24", threads=1)
        return np.asarray(rgb.to_ndarray(), np.uint8)
