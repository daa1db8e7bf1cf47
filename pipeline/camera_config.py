"""The cameras of config.yaml, and what makes each take a frame.

Every number carries its unit in its key. Keys that contradict each other are refused by `pipeline.config`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

import msgspec
from msgspec import Meta

from pipeline.frame import PixelFormat

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
PositiveFloat = Annotated[float, Meta(gt=0, lt=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
IpAddress = Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")]
PacketSize = Annotated[int, Meta(ge=220, le=65_535)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: frozen, and strict about its keys."""


class TriggerConfig(Section, frozen=True, kw_only=True):
    """What makes the camera take a frame.

    `freerun`: the camera's own rate, newest frame only, skipped frames counted. `line`: the camera's
    input line, every frame. `encoder`: every `encoder_counts` of the camera's encoder input, every frame.
    `software`: the station asks, every `period_ms`, or, if that is null, when a `trigger` request arrives.

    With `announce_window_ms` a `trigger` request announces the part that `line` or `encoder` will take a
    frame of within that time, one at a time: its ids go into the result, and no frame is a reject.
    `frame_timeout_ms` is how long the frame of a software trigger, or the next one of a free-running camera,
    is waited for before the camera counts as lost. A free-run frame older than `max_age_ms` is skipped.
    """

    source: Literal["freerun", "line", "encoder", "software"]
    period_ms: Annotated[float, Meta(ge=1, le=3_600_000)] | None = None
    frame_timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1_000
    announce_window_ms: Annotated[float, Meta(ge=1, le=60_000)] | None = None
    encoder_counts: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    max_age_ms: Annotated[float, Meta(ge=1, le=60_000)] | None = None

    @property
    def every_frame(self) -> bool:
        """Whether the camera takes frames by itself, each of them a part."""
        return self.source in {"line", "encoder"}


class _CameraSection(Section, frozen=True, kw_only=True, tag_field="kind"):
    """What every camera has. The image format is fixed here; a camera that delivers another is refused."""

    name: Name
    width_px: Annotated[int, Meta(ge=16, le=16_384)]
    height_px: Annotated[int, Meta(ge=16, le=16_384)]
    pixel_format: PixelFormat
    trigger: TriggerConfig


class SimulatedCameraConfig(_CameraSection, frozen=True, kw_only=True, tag="simulated"):
    """The simulated line: a stamped metal part, rendered; deterministic by `seed`."""

    seed: Annotated[int, Meta(ge=0)] = 0
    rate_hz: PositiveFloat = 10.0
    defect_rate: Fraction = 0.1


class FolderCameraConfig(_CameraSection, frozen=True, kw_only=True, tag="folder"):
    """Image files of a directory in sorted order, subdirectories included."""

    directory: str
    rate_hz: PositiveFloat = 10.0
    loop: bool = False


class RecordingCameraConfig(_CameraSection, frozen=True, kw_only=True, tag="recording"):
    """Frames of a file that `hlgfa record` wrote; `channel` names its camera there, null: the same name.

    `pace`: `recorded` keeps the spacing that the frames once had, a number is a rate in frames per second,
    `fastest` gives the next frame as soon as the last one was taken.
    """

    file: str
    pace: Literal["recorded", "fastest"] | PositiveFloat = "recorded"
    loop: bool = False
    channel: Name | None = None


class DeviceSection(_CameraSection, frozen=True, kw_only=True):
    """A GenICam device, chosen by `serial` or `user_id`; with neither, there must be exactly one.

    All of it is set on the device each time it is opened; what is null stays as the device has it. The
    region of the sensor is `width_px` x `height_px` at the offsets. `device_pixel_format` is what travels
    over the cable, null for the best one offered; it is converted to `pixel_format` once per frame.
    `trigger_line` is the input of trigger source `line`. `features` are set first and in their order, by
    the device's own GenICam names: `{BinningHorizontal: 2}`.
    """

    serial: str | None = None
    user_id: str | None = None
    offset_x_px: Annotated[int, Meta(ge=0, le=65_535)] = 0
    offset_y_px: Annotated[int, Meta(ge=0, le=65_535)] = 0
    device_pixel_format: str | None = None
    exposure_us: PositiveFloat | None = None
    gain_db: Annotated[float, Meta(ge=0, le=100)] | None = None
    rate_hz: PositiveFloat | None = None
    trigger_line: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,32}$")] = "Line1"
    trigger_edge: Literal["rising", "falling"] = "rising"
    packet_size_bytes: PacketSize | None = None
    features: dict[str, bool | int | float | str] = {}


class PylonCameraConfig(DeviceSection, frozen=True, kw_only=True, tag="pylon"):
    """A Basler camera; one on the network can also be chosen by its IP `address`."""

    address: IpAddress | None = None


class AravisCameraConfig(DeviceSection, frozen=True, kw_only=True, tag="aravis"):
    """A GigE Vision or USB3 Vision camera of any make; the former can also be chosen by its IP `address`.

    What follows `address` concerns GigE Vision alone. `packet_resend`: lost packets are asked for again after
    `packet_timeout_ms`, which holds back the frames after them; `never` gives the frame up at once.
    `frame_retention_ms` after its last packet an unfinished frame is given up. `packet_socket` takes packets
    below the IP stack: less work for the CPU, needs CAP_NET_RAW, does not work on the loopback interface.
    """

    address: IpAddress | None = None
    packet_resend: Literal["always", "never"] = "always"
    packet_timeout_ms: Annotated[float, Meta(ge=0.1, le=1_000)] = 10.0
    frame_retention_ms: Annotated[float, Meta(ge=1, le=10_000)] = 50.0
    socket_buffer_bytes: Annotated[int, Meta(ge=65_536, le=1 << 30)] = 4 << 20
    packet_socket: bool = False


class GenicamCameraConfig(DeviceSection, frozen=True, kw_only=True, tag="genicam"):
    """Any camera that has a GenTL producer; `producers` are their files, ending in .cti."""

    producers: Annotated[list[str], Meta(min_length=1, max_length=8)]


class VideoCameraConfig(_CameraSection, frozen=True, kw_only=True, tag="video"):
    """A network camera's stream or a video file: `url` is `rtsp://...`, or the file's path.

    Of a stream: `transport`; `open_timeout_ms` until its first live picture, `read_timeout_ms` without a
    fresh one until it counts as lost; pictures that lag behind the others by more than `max_lag_ms` are old
    and skipped. Of a file: `loop`, and `rate_hz` in place of the file's own rate.
    """

    url: Annotated[str, Meta(min_length=1)]
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 10_000
    read_timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_000
    max_lag_ms: Annotated[int, Meta(ge=10, le=10_000)] = 200
    rate_hz: PositiveFloat | None = None
    loop: bool = False

    @property
    def is_stream(self) -> bool:
        """Whether `url` is an address, not a path."""
        return "://" in self.url


class V4l2CameraConfig(_CameraSection, frozen=True, kw_only=True, tag="v4l2"):
    """A USB or other camera of the kernel, by `device` (a path, best in /dev/v4l/by-id) or by `serial`.

    With neither there must be exactly one. `device_format` is the device's format by its four characters,
    null for the best that it offers; `gain` and `controls` (by the names that `v4l2-ctl --list-ctrls` shows)
    are in the device's own units. Without a picture for `read_timeout_ms` the camera counts as lost.
    """

    device: str | None = None
    serial: str | None = None
    device_format: Annotated[str, Meta(pattern="^[A-Z0-9]{4}$")] | None = None
    rate_hz: PositiveFloat | None = None
    exposure_us: PositiveFloat | None = None
    gain: int | None = None
    controls: dict[str, int] = {}
    read_timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_000


DeviceCameraConfig = Union[PylonCameraConfig, AravisCameraConfig, GenicamCameraConfig]  # noqa: UP007 - msgspec
CameraConfig = Union[  # noqa: UP007 - msgspec
    SimulatedCameraConfig,
    FolderCameraConfig,
    RecordingCameraConfig,
    DeviceCameraConfig,
    VideoCameraConfig,
    V4l2CameraConfig,
]
