"""What the page hears over its WebSocket: JSON, tagged by `type`. Times are UTC in ms, as browsers count."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.messages import Region


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of the messages."""


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """One result as a person sees it; `expired`: too old to be shown as if it were now."""

    result_id: str
    camera: str
    trigger_id: int
    part_id: str | None
    disposition: str
    verdict: str
    reason_code: int
    reason: str
    text: str
    score: float | None
    threshold: float | None
    regions: list[Region]
    latency_ms: float
    on_time: bool
    published_ms: float
    expired: bool
    simulated: bool
    frame_px: tuple[int, int] | None


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """One camera: its account since the station's start, and rates of the last minutes."""

    name: str
    state: str
    triggers: int
    accepts: int
    rejects: int
    frames_skipped: int
    frames_lost: int
    per_hour: float
    rejects_per_hour: float
    result: ResultView | None


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of one stage over the last period of stats, ms."""

    stage: str
    p50_ms: float
    p99_ms: float
    max_ms: float


class StateMessage(_Message, frozen=True, kw_only=True, tag="state"):
    """Everything that is shown, as of now; the next one replaces it.

    `fresh` is false when three statuses are missing or none has come; `age_ms` is that of the last one.
    `refused` says what to do about a station that does not let the page in.
    """

    fresh: bool
    age_ms: float | None
    line: str
    station: str
    epoch: str | None
    state: str | None
    ready: bool
    fault: str | None
    engine: str | None
    recipe: dict[str, Any] | None
    queue_depth: int
    late: int
    lost: int
    cameras: list[CameraView]
    stages: list[StageView]
    reasons: dict[str, int]
    deadline_ms: float
    refused: str | None = None


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One result on the strip chart."""

    published_ms: float
    score: float | None
    threshold: float | None
    reason_code: int


class PointsMessage(_Message, frozen=True, kw_only=True, tag="points"):
    """Results that have come since the last of these messages, or with `whole` all that are known."""

    camera: str
    whole: bool
    points: list[Point]


class RejectView(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected part, and whether there is a picture of it, and a heatmap."""

    result: ResultView
    pictured: bool
    mapped: bool


class RejectMessage(_Message, frozen=True, kw_only=True, tag="reject"):
    """A part was rejected, or the picture of it has come."""

    reject: RejectView


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened at the station."""

    published_ms: float
    kind: str
    severity: str
    code: int
    text: str
    camera: str | None


class EventMessage(_Message, frozen=True, kw_only=True, tag="event"):
    """Something happened at the station."""

    event: EventView


class HelloMessage(_Message, frozen=True, kw_only=True, tag="hello"):
    """The first message: what has happened before, the newest last."""

    line: str
    station: str
    images: bool
    cameras: list[str]
    rejects: list[RejectView]
    events: list[EventView]


class DroppedMessage(_Message, frozen=True, kw_only=True, tag="dropped"):
    """How many messages this browser was too slow for, so far."""

    count: int


class PictureHead(msgspec.Struct, frozen=True, kw_only=True):
    """What describes a picture; the JPEG and the overlay's PNG follow it in the same binary message."""

    result: ResultView
    jpeg_bytes: int
    overlay_bytes: int
    image_px: tuple[int, int]


ToPage = StateMessage | PointsMessage | RejectMessage | EventMessage | HelloMessage | DroppedMessage
encode = msgspec.json.Encoder().encode


def encode_picture(head: PictureHead, jpeg: bytes, overlay: bytes) -> bytes:
    """A picture as one binary message: length of the head (u32, big endian), head as JSON, JPEG, PNG."""
    data = encode(head)
    return len(data).to_bytes(4, "big") + data + jpeg + overlay
