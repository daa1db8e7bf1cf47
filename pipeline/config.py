"""One station's configuration: config.yaml, parsed once into frozen structs.

Every number carries its unit in its key. An unknown key, a wrong type or a value out of range raises
`ConfigError` with the path, the value found and what is allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pipeline.camera_config import CameraConfig, Fraction, Name, PositiveFloat, Section
from pipeline.config_checks import contradictions
from pipeline.dashboard_config import DashboardConfig
from pipeline.drift_config import DriftConfig
from pipeline.explain import explain
from pipeline.gateway_config import GatewaysConfig
from pipeline.log_config import LoggingConfig
from pipeline.metrics_config import MetricsConfig
from pipeline.record_config import ArchiveConfig, ConsumerConfig, ImageConfig, JournalConfig
from pipeline.socket_config import SecurityConfig, SocketsConfig
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
    """A whole station. `recipes_dir` is a folder of recipes, null for a station of one product."""

    station: StationConfig
    sockets: SocketsConfig
    cameras: Annotated[list[CameraConfig], Meta(min_length=1, max_length=16)]
    engine: EngineConfig
    heatmap: HeatmapConfig = HeatmapConfig()
    image: ImageConfig = ImageConfig()
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
    recipes_dir: str | None = None
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()
    dashboard: DashboardConfig | None = None


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
    text = next(contradictions(config), None)
    if text is not None:
        raise ConfigError(f"{origin}: {text}")
    return config
