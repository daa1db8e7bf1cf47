"""The wire schema, version 1: what every header says. `wire` turns headers into bytes and back.

Headers are JSON. Times that pass 2^53 are decimal strings. Readers ignore unknown keys; minor versions
only add. A float on the wire is finite or null.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta

VERSION = 1
NsText = Annotated[str, Meta(pattern=r"^-?\d{1,20}$")]


class Reason(IntEnum):
    """Why a part was rejected; 0 only with `accept`. 1000 and up are the site's own."""

    OK = 0
    ANOMALY = 1
    LATE = 10
    NO_FRAME = 11
    INCOMPLETE_FRAME = 12
    CAMERA_LOST = 13
    OVERRUN = 14
    TRIGGER_WHILE_BUSY = 15
    DUPLICATE_TRIGGER = 16
    FRAME_FORMAT = 17
    ENGINE_ERROR = 20
    NON_FINITE_SCORE = 21
    DRIFT_HOLD = 22
    RECIPE_NOT_READY = 30
    RECIPE_MISMATCH = 31
    MAINTENANCE = 40
    SIMULATED_ON_LIVE_OUTPUT = 41
    JOURNAL_FAILED = 42
    STATION_SILENT = 50


Disposition = Literal["accept", "reject"]
Verdict = Literal["pass", "fail", "invalid"]
TriggerSource = Literal["plc", "line", "software", "freerun"]
ClockKind = Literal["ptp", "ntp", "free"]
Kind = Literal["result", "part", "amend", "heatmap", "image", "status", "event", "stats"]
EventKind = Literal["recipe", "model", "drift", "camera", "fault", "config", "security"]
Severity = Literal["info", "warning", "error"]
StationState = Literal["Preoperational", "Initialized", "Ready", "ContinuousExecution", "Error", "Halted"]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What every header has. `seq` counts from 1 without a gap per `epoch` and `stream`."""

    schema: str
    epoch: str
    stream: str
    seq: Annotated[int, Meta(ge=1)]
    line: str
    station: str
    camera: str | None
    published_ns: NsText
    clock: ClockKind


class Common(TypedDict):
    """The fields of `Header`, to be unpacked into one; mypy checks every key of `**common`."""

    schema: str
    epoch: str
    stream: str
    seq: int
    line: str
    station: str
    camera: str | None
    published_ns: str
    clock: ClockKind


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """One connected defect region, in pixels of the raw image; `bbox_px` is x, y, width, height."""

    bbox_px: tuple[int, int, int, int]
    centroid_px: tuple[float, float]
    area_px: int
    peak: float


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """When each stage was passed: host monotonic clock in ns, null for a stage that was not reached."""

    trigger: NsText
    exposure: NsText | None
    received: NsText | None
    infer_start: NsText | None
    infer_end: NsText | None
    decided: NsText


class FrameSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The frame as the camera gave it."""

    id: int
    raw_id: int
    camera_epoch: int
    camera_timestamp: NsText
    trigger_counter: int | None
    complete: bool
    width: int
    height: int
    pixel_format: str
    encoder_count: int | None = None
    source: str | None = None
    truth: str | None = None


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Which model judged, and by which engine."""

    id: str
    sha256: str
    engine: str
    precision: str


class RecipeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Which recipe was active: its number as text, or the model's name where there are no recipes."""

    id: str
    version: int
    sha256: str


class RecipeStatus(RecipeSummary, frozen=True, kw_only=True):
    """The recipe in force; `changing` while neither it nor the next one is valid: triggers are rejects 30."""

    state: Literal["active", "changing"] = "active"


class RecipeChange(msgspec.Struct, frozen=True, kw_only=True):
    """How far a changeover has come.

    `loading`, `verified`, then one of `switched`, `rolled_back` (parts were rejected meanwhile, the old
    recipe goes on) and `failed` (nothing was touched). `sha256` is null until it is known, `operator` who
    asked for it. At a start `switched` says what the station starts with.
    """

    id: str
    version: int
    sha256: str | None
    state: Literal["loading", "verified", "switched", "rolled_back", "failed"]
    operator: str


class StreamRef(msgspec.Struct, frozen=True, kw_only=True):
    """A message of another stream, by its number."""

    stream: str
    seq: int


class HeatmapNote(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this result's heatmap is published, and where."""

    published: bool
    ref: StreamRef | None


class ResultHeader(Header, frozen=True, kw_only=True):
    """The one terminal result of a trigger. `disposition` is the only field that a PLC should act on.

    `deadline_ns` is in the clock of `t`: a reader adds what was left of it at `t.decided` to `published_ns`.
    """

    result_id: str
    trigger_id: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    trigger_source: TriggerSource
    part_id: str | None
    job_id: str | None
    disposition: Disposition
    verdict: Verdict
    result_state: Literal[1, 3, 4]
    reason_code: int
    reason: str
    score: float | None
    threshold: float | None
    regions: Annotated[list[Region], Meta(max_length=16)]
    t: Times
    deadline_ns: NsText
    on_time: bool
    latency_us: int
    frame: FrameSummary | None
    model: ModelSummary | None
    recipe: RecipeSummary | None
    simulated: bool
    heatmap: HeatmapNote | None


class PartMember(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera said of a part."""

    camera: str
    result_id: str
    disposition: Disposition
    reason_code: int


class PartHeader(Header, frozen=True, kw_only=True):
    """The one disposition of a part that several cameras see, after the result of the last of them.

    `accept` only if every camera accepts. `reason` is that of the first camera that does not.
    """

    trigger_id: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    part_id: str | None
    job_id: str | None
    disposition: Disposition
    reason_code: int
    reason: str
    members: Annotated[list[PartMember], Meta(min_length=2, max_length=16)]
    deadline_ns: NsText
    on_time: bool
    latency_us: int


class AmendHeader(Header, frozen=True, kw_only=True):
    """A score that came after its trigger had been decided; it never changes the disposition."""

    result_id: str
    trigger_id: int
    score: float | None
    threshold: float | None
    late_us: int


class HeatmapHeader(Header, frozen=True, kw_only=True):
    """A quantised anomaly map; `to_image` maps (column, row, 1) of the map to (x, y) of the raw image."""

    result_id: str
    dtype: Literal["u8", "f16"]
    shape: tuple[int, int]
    scale: float
    offset: float
    codec: Literal["none", "zstd"]
    raw_bytes: int
    crc32: int
    to_image: tuple[tuple[float, float, float], tuple[float, float, float]]
    threshold: float
    roi_sha256: str | None


class ImageHeader(Header, frozen=True, kw_only=True):
    """A small picture of a result's frame, `shape` rows and columns; the frame has `image_shape`."""

    result_id: str
    codec: Literal["jpeg"]
    shape: tuple[int, int]
    image_shape: tuple[int, int]


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One camera's state and its account: triggers = accepts + rejects + pending.

    `frames_skipped` are free-run frames that newer ones replaced, `frames_lost` those that the device
    numbered and that never came. `held`: every part is rejected until someone releases the camera.
    """

    name: str
    state: str
    triggers: int
    accepts: int
    rejects: int
    frames_skipped: int
    frames_lost: int = 0
    held: bool = False


class StatusHeader(Header, frozen=True, kw_only=True):
    """The station's heartbeat. Three missing in a row: treat the station as not ready."""

    counter: Annotated[int, Meta(ge=0, le=0xFFFF)]
    period_ms: int
    state: StationState
    ready: bool
    busy: bool
    fault: str | None
    last_seq: dict[str, int]
    oldest_seq: dict[str, int]
    queue_depth: int
    dropped: int
    late: int
    cameras: list[CameraStatus]
    engine: str
    recipe: RecipeStatus | None


class DriftNote(msgspec.Struct, frozen=True, kw_only=True):
    """A drift chart that has begun to warn.

    `average` and `usual` are in the unit of the chart's measure, for `rejects` shares of all parts;
    `statistic` left -limit .. limit. `since_result_id` is about where it began, `action` what to do.
    """

    chart: str
    average: float
    usual: float
    statistic: float
    limit: float
    since_result_id: str
    action: str


class EventHeader(Header, frozen=True, kw_only=True):
    """Something happened: a camera lost, an engine restarted, a recipe changed."""

    kind: EventKind
    severity: Severity
    code: int
    text: str
    recipe: RecipeChange | None = None
    drift: DriftNote | None = None


class StageLatency(msgspec.Struct, frozen=True, kw_only=True):
    """One stage's latency since the last stats message, in microseconds."""

    stage: str
    count: int
    p50_us: float
    p99_us: float
    max_us: float
    p999_us: float | None = None


class DriftChart(msgspec.Struct, frozen=True, kw_only=True):
    """A drift chart as it stands; while it is learning only `learned` of `needed` good parts are known.

    The other fields are those of `DriftNote`.
    """

    camera: str
    chart: str
    state: Literal["learning", "steady", "drifting"]
    learned: int
    needed: int
    average: float | None = None
    usual: float | None = None
    statistic: float | None = None
    limit: float | None = None


class StatsHeader(Header, frozen=True, kw_only=True):
    """Counts since the start and latencies since the last message; `refused` counts clients by what."""

    uptime_s: float
    triggers: int
    accepts: int
    rejects: int
    rejects_by_reason: dict[str, int]
    stages: list[StageLatency]
    refused: dict[str, int] = {}
    drift: list[DriftChart] = []


LiveHeader = ResultHeader | PartHeader | AmendHeader | StatusHeader | EventHeader | StatsHeader
MapHeader = HeatmapHeader | ImageHeader
"""Headers with a payload, published apart from the others."""
AnyHeader = LiveHeader | MapHeader
