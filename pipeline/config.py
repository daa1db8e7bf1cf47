"""One station's configuration: config.yaml, parsed once into frozen structs.

Every number carries its unit in its key. An unknown key, a wrong type or a value out of range raises
`ConfigError` with the path, the value found and what is allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engines.engine import EngineError
from engines.targets import check_combination
from pipeline.camera_config import (
    CameraConfig,
    Fraction,
    Name,
    PositiveFloat,
    Section,
    TriggerConfig,
    V4l2CameraConfig,
    VideoCameraConfig,
)
from pipeline.drift_config import DriftConfig
from pipeline.explain import explain
from pipeline.gateway_config import GatewaysConfig, find_errors
from pipeline.record_config import ArchiveConfig, ConsumerConfig, JournalConfig
from pipeline.socket_config import SecurityConfig, SocketsConfig, is_local, keys_are_missing
from pipeline.yaml_text import YamlError, read_yaml

Cores = Annotated[list[Annotated[int, Meta(ge=0, le=4095)]], Meta(min_length=1)]


class ConfigError(Exception):
    """The configuration cannot be used; the message says where, what was found and what is allowed."""


class StationConfig(Section, frozen=True, kw_only=True):
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


class EngineConfig(Section, frozen=True, kw_only=True):
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


class HeatmapConfig(Section, frozen=True, kw_only=True):
    """Which heatmaps are published, and how they are packed."""

    policy: Literal["all", "reject", "sampled"] = "all"
    sample_every: Annotated[int, Meta(ge=1)] = 10
    codec: Literal["none", "zstd"] = "zstd"


class PartsConfig(Section, frozen=True, kw_only=True):
    """A part that several cameras see: a `trigger` request without a camera goes to all of these.

    Each camera gives its own result; the part is accepted only if all of them accept.
    """

    cameras: Annotated[list[Name], Meta(min_length=2, max_length=16)]


class RealtimeConfig(Section, frozen=True, kw_only=True):
    """What the operating system is asked for; each is refused with one line where it is not allowed.

    `lock_memory`: no page of a process is swapped out. `fifo_priority`: station and capture are scheduled
    before everything that is not real time. Cores: what the process is kept on, null for all.
    """

    lock_memory: bool = False
    fifo_priority: Annotated[int, Meta(ge=1, le=98)] | None = None
    station_cores: Cores | None = None
    capture_cores: Cores | None = None


class BudgetsConfig(Section, frozen=True, kw_only=True):
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


class RingConfig(Section, frozen=True, kw_only=True):
    """The shared-memory ring of one camera: `slots` frames."""

    slots: Annotated[int, Meta(ge=3, le=256)] = 8


class Config(Section, frozen=True, kw_only=True):
    """A whole station."""

    station: StationConfig
    sockets: SocketsConfig
    cameras: Annotated[list[CameraConfig], Meta(min_length=1, max_length=16)]
    engine: EngineConfig
    heatmap: HeatmapConfig = HeatmapConfig()
    journal: JournalConfig = JournalConfig()
    consumers: Annotated[tuple[ConsumerConfig, ...], Meta(max_length=32)] = ()
    archive: ArchiveConfig | None = None
    drift: DriftConfig = DriftConfig()
    ring: RingConfig = RingConfig()
    parts: PartsConfig | None = None
    realtime: RealtimeConfig = RealtimeConfig()
    budgets: BudgetsConfig = BudgetsConfig()
    gateways: GatewaysConfig | None = None
    security: SecurityConfig | None = None


def load_config(path: Path) -> Config:
    """Read and check a station's YAML file.

    Relative paths in it stay relative to the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or a value is not allowed.
    """
    try:
        raw = read_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). Name an existing config file."
        ) from error
    except YamlError as error:
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
        if config.security is None and not is_local(endpoint):
            raise ConfigError(f"{origin}: sockets: {keys_are_missing(endpoint)}")
    for index, camera in enumerate(config.cameras):
        _check_camera(camera, f"{origin}: cameras[{index}]")
    _check_parts(config, origin)
    _check_records(config, origin)
    text = None if config.gateways is None else next(find_errors(config.gateways), None)
    if text is not None:
        raise ConfigError(f"{origin}: {text}")


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


def _check_records(config: Config, origin: str) -> None:
    names = [consumer.name for consumer in config.consumers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{origin}: consumers: found the name {name!r} twice, expected unique names.")
    if config.archive is not None and config.archive.queue_frames >= config.ring.slots - 1:
        raise ConfigError(
            f"{origin}: archive.queue_frames: found {config.archive.queue_frames} of ring.slots "
            f"{config.ring.slots}, expected at least two slots to be left for new frames."
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
