"""One station's configuration: config.yaml, parsed once into frozen structs.

Every number carries its unit in its key. An unknown key, a wrong type or a value out of range raises
`ConfigError` with the path, the value found and what is allowed.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import msgspec
import yaml
from msgspec import Meta

from engines.engine import EngineError
from engines.targets import check_combination
from pipeline.explain import explain
from pipeline.frame import PixelFormat

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Endpoint = Annotated[str, Meta(pattern=r"^(tcp://[^/\s]+:(\d+|\*)|ipc://\S+)$")]
PositiveFloat = Annotated[float, Meta(gt=0, lt=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Cores = Annotated[list[Annotated[int, Meta(ge=0, le=4095)]], Meta(min_length=1)]


class ConfigError(Exception):
    """The configuration cannot be used; the message says where, what was found and what is allowed."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: frozen, and strict about its keys."""


class StationConfig(_Section, frozen=True, kw_only=True):
    """The station itself.

    `deadline_ms` runs from the trigger to the published result; `deadline_guard_ms` before it a trigger that
    is not decided is rejected as late, so that the reject itself comes in time.
    """

    line: Name
    name: Name
    deadline_ms: Annotated[float, Meta(ge=1, le=60_000)]
    deadline_guard_ms: Annotated[float, Meta(ge=0, le=1_000)] = 2.0
    journal_dir: str = "journal"
    live_output: bool = False
    status_period_ms: Annotated[int, Meta(ge=20, le=5_000)] = 200
    stats_period_s: Annotated[float, Meta(ge=0.1, le=3_600)] = 10.0
    child_silence_ms: Annotated[int, Meta(ge=200, le=60_000)] = 2_000
    start_timeout_s: Annotated[float, Meta(ge=1, le=600)] = 60.0


class SocketsConfig(_Section, frozen=True, kw_only=True):
    """Addresses of the three ZeroMQ sockets; TCP addresses are loopback only until CURVE keys exist."""

    results: Endpoint
    heatmaps: Endpoint
    replay: Endpoint
    send_queue_messages: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000


class TriggerConfig(_Section, frozen=True, kw_only=True):
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


class _CameraSection(_Section, frozen=True, kw_only=True, tag_field="kind"):
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


class PylonCameraConfig(_CameraSection, frozen=True, kw_only=True, tag="pylon"):
    """A Basler camera, chosen by `serial` or by `user_id`; with neither, there must be exactly one.

    `features` are set first and in their order, by the device's own GenICam names: `{Width: 1920}`.
    """

    serial: str | None = None
    user_id: str | None = None
    exposure_us: PositiveFloat | None = None
    gain_db: Annotated[float, Meta(ge=0, le=100)] | None = None
    rate_hz: PositiveFloat | None = None
    features: dict[str, bool | int | float | str] = {}


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


CameraConfig = Union[  # noqa: UP007 - msgspec
    SimulatedCameraConfig,
    FolderCameraConfig,
    RecordingCameraConfig,
    PylonCameraConfig,
    VideoCameraConfig,
    V4l2CameraConfig,
]


class EngineConfig(_Section, frozen=True, kw_only=True):
    """The engine: which model, runtime and precision. There is no fallback from one to another.

    What needs a build (a GPU's runtimes, and precisions below fp32) is made by `build_engine`. `threads` are
    of the CPU, `cores` those that the inspection process is kept on, null for all. `spinning` lets threads of
    ONNX Runtime wait busily for their next operator: faster on cores of their own, a thief on shared ones.
    """

    model: str
    runtime: Literal["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"]
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    threads: Annotated[int, Meta(ge=1, le=256)] = 2
    cores: Cores | None = None
    spinning: bool = False


class HeatmapConfig(_Section, frozen=True, kw_only=True):
    """Which heatmaps are published, and how they are packed."""

    policy: Literal["all", "reject", "sampled"] = "all"
    sample_every: Annotated[int, Meta(ge=1)] = 10
    codec: Literal["none", "zstd"] = "zstd"


class PartsConfig(_Section, frozen=True, kw_only=True):
    """A part that several cameras see: a `trigger` request without a camera goes to all of these.

    Each camera gives its own result; the part is accepted only if all of them accept.
    """

    cameras: Annotated[list[Name], Meta(min_length=2, max_length=16)]


class RealtimeConfig(_Section, frozen=True, kw_only=True):
    """What the operating system is asked for; each is refused with one line where it is not allowed.

    `lock_memory`: no page of a process is swapped out. `fifo_priority`: station and capture are scheduled
    before everything that is not real time. Cores: what the process is kept on, null for all.
    """

    lock_memory: bool = False
    fifo_priority: Annotated[int, Meta(ge=1, le=98)] | None = None
    station_cores: Cores | None = None
    capture_cores: Cores | None = None


class BudgetsConfig(_Section, frozen=True, kw_only=True):
    """What `hlgfa soak` holds the line to; null is not looked at. Times are p99 over the run."""

    transfer_p99_ms: PositiveFloat | None = None
    queue_p99_ms: PositiveFloat | None = None
    inference_p99_ms: PositiveFloat | None = None
    decision_p99_ms: PositiveFloat | None = None
    trigger_to_published_p99_ms: PositiveFloat | None = None
    overhead_p50_ms: PositiveFloat | None = None
    overhead_p99_ms: PositiveFloat | None = None
    memory_growth_percent: PositiveFloat | None = None
    lost_frames: Annotated[int, Meta(ge=0)] | None = 0
    late_share: Fraction | None = None


class RingConfig(_Section, frozen=True, kw_only=True):
    """The shared-memory ring of one camera: `slots` frames."""

    slots: Annotated[int, Meta(ge=3, le=256)] = 8


class Config(_Section, frozen=True, kw_only=True):
    """A whole station."""

    station: StationConfig
    sockets: SocketsConfig
    cameras: Annotated[list[CameraConfig], Meta(min_length=1, max_length=16)]
    engine: EngineConfig
    heatmap: HeatmapConfig = HeatmapConfig()
    ring: RingConfig = RingConfig()
    parts: PartsConfig | None = None
    realtime: RealtimeConfig = RealtimeConfig()
    budgets: BudgetsConfig = BudgetsConfig()


def load_config(path: Path) -> Config:
    """Read and check a station's YAML file.

    Relative paths in it stay relative to the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or a value is not allowed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). Name an existing config file."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    return parse_config(raw, origin=str(path))


def parse_config(raw: Any, *, origin: str) -> Config:
    """Turn parsed YAML into a `Config`; `origin` is named in the errors.

    Raises:
        ConfigError: a value is not allowed, or values contradict each other.
    """
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error), raw, Config, origin)) from error
    _check_consistency(config, origin)
    return config


def _check_consistency(config: Config, origin: str) -> None:
    try:
        check_combination(config.engine.runtime, config.engine.precision)
    except EngineError as error:
        raise ConfigError(f"{origin}: {error}") from error
    _check_engine_threads(config.engine, origin)
    names = [camera.name for camera in config.cameras]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{origin}: cameras: found the name {name!r} twice, expected unique names.")
    endpoints = [config.sockets.results, config.sockets.heatmaps, config.sockets.replay]
    for endpoint in endpoints:
        if endpoints.count(endpoint) > 1 and not endpoint.endswith(":*"):
            raise ConfigError(
                f"{origin}: sockets: found {endpoint} twice, expected three different addresses."
            )
        if not _is_local(endpoint):
            raise ConfigError(
                f"{origin}: sockets: found {endpoint}, expected a loopback or ipc address: results may not "
                "leave this machine unencrypted, and CURVE keys are not supported yet."
            )
    for index, camera in enumerate(config.cameras):
        _check_camera(camera, f"{origin}: cameras[{index}]")
    _check_parts(config, origin)


_ONLY_WITH = {
    "period_ms": ("software",),
    "announce_window_ms": ("line", "encoder"),
    "encoder_counts": ("encoder",),
    "max_age_ms": ("freerun",),
}


def _check_trigger(trigger: TriggerConfig, where: str) -> None:
    for key, sources in _ONLY_WITH.items():
        value = getattr(trigger, key)
        if value is not None and trigger.source not in sources:
            raise ConfigError(
                f"{where}.{key}: found {value} with source {trigger.source!r}, expected it only with source "
                f"{' or '.join(repr(source) for source in sources)}."
            )
    if trigger.source == "encoder" and trigger.encoder_counts is None:
        raise ConfigError(
            f"{where}.encoder_counts: found null with source 'encoder', expected the counts between parts."
        )


def _check_parts(config: Config, origin: str) -> None:
    """Every camera of a common part can be told which part it is."""
    by_name = {camera.name: camera for camera in config.cameras}
    for name in config.parts.cameras if config.parts is not None else ():
        camera = by_name.get(name)
        if camera is None:
            raise ConfigError(
                f"{origin}: parts.cameras: found {name!r}, expected some of: {', '.join(by_name)}."
            )
        trigger = camera.trigger
        asked = trigger.source == "software" and trigger.period_ms is None
        if not asked and trigger.announce_window_ms is None:
            raise ConfigError(
                f"{origin}: parts.cameras: found camera {name!r} with trigger source {trigger.source!r}, "
                "expected 'software' without period_ms, or announce_window_ms: only so is it known whose "
                "frame it is."
            )


def _check_camera(camera: CameraConfig, where: str) -> None:
    trigger = camera.trigger
    _check_trigger(trigger, f"{where}.trigger")
    if isinstance(camera, VideoCameraConfig):
        _check_video(camera, where)
    if isinstance(camera, V4l2CameraConfig) and trigger.every_frame:
        raise ConfigError(
            f"{where}.trigger.source: found {trigger.source!r} for a V4L2 camera, which has no input "
            "line. Set 'freerun' or 'software'."
        )


def _check_video(camera: VideoCameraConfig, where: str) -> None:
    """Refuse what an address or a file cannot do; the address is not shown, it may hold a password."""
    if not camera.is_stream:
        return
    if not camera.url.startswith("rtsp://"):
        scheme = camera.url.partition("://")[0]
        raise ConfigError(f"{where}.url: found an address {scheme}://, expected rtsp:// or a file's path.")
    if camera.trigger.every_frame:
        raise ConfigError(
            f"{where}.trigger.source: found {camera.trigger.source!r} for an RTSP stream, which has no input "
            "line. Set 'freerun' or 'software'."
        )
    if camera.rate_hz is not None or camera.loop:
        raise ConfigError(
            f"{where}: found rate_hz or loop for an RTSP stream, expected them only for a file. Remove them."
        )


def _check_engine_threads(engine: EngineConfig, origin: str) -> None:
    cores = engine.cores
    if cores is not None and len(set(cores)) < max(engine.threads, len(cores)):
        raise ConfigError(
            f"{origin}: engine.cores: found {cores} for {engine.threads} threads, expected as many different "
            "cores at least."
        )
    if engine.spinning and engine.runtime != "onnxruntime":
        raise ConfigError(
            f"{origin}: engine.spinning: found true with runtime {engine.runtime!r}, expected it only with "
            "'onnxruntime'."
        )


def _is_local(endpoint: str) -> bool:
    """Whether nothing off this machine can reach the address."""
    if endpoint.startswith("ipc://"):
        return True
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
