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
IpAddress = Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")]
PacketSize = Annotated[int, Meta(ge=220, le=65_535)]


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
    input line, every frame. `software`: the station asks, every `period_ms`, or, if that is null, when
    a `trigger` request arrives.
    """

    source: Literal["freerun", "line", "software"]
    period_ms: Annotated[float, Meta(ge=1, le=3_600_000)] | None = None
    frame_timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1_000


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


class _DeviceSection(_CameraSection, frozen=True, kw_only=True):
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


class PylonCameraConfig(_DeviceSection, frozen=True, kw_only=True, tag="pylon"):
    """A Basler camera; one on the network can also be chosen by its IP `address`."""

    address: IpAddress | None = None


class AravisCameraConfig(_DeviceSection, frozen=True, kw_only=True, tag="aravis"):
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


class GenicamCameraConfig(_DeviceSection, frozen=True, kw_only=True, tag="genicam"):
    """Any camera that has a GenTL producer; `producers` are their files, ending in .cti."""

    producers: Annotated[list[str], Meta(min_length=1, max_length=8)]


DeviceCameraConfig = Union[PylonCameraConfig, AravisCameraConfig, GenicamCameraConfig]  # noqa: UP007 - msgspec
CameraConfig = Union[SimulatedCameraConfig, FolderCameraConfig, DeviceCameraConfig]  # noqa: UP007 - msgspec


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
    cores: Annotated[list[Annotated[int, Meta(ge=0, le=4095)]], Meta(min_length=1)] | None = None
    spinning: bool = False


class HeatmapConfig(_Section, frozen=True, kw_only=True):
    """Which heatmaps are published, and how they are packed."""

    policy: Literal["all", "reject", "sampled"] = "all"
    sample_every: Annotated[int, Meta(ge=1)] = 10
    codec: Literal["none", "zstd"] = "zstd"


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
        trigger = camera.trigger
        if trigger.period_ms is not None and trigger.source != "software":
            raise ConfigError(
                f"{origin}: cameras[{index}].trigger.period_ms: found {trigger.period_ms} with source "
                f"{trigger.source!r}, expected it only with source 'software'."
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
