"""Headers to bytes and back, and their topics. Pure: no sockets, no clock.

Rules:
1. A topic is `hlgfa/1/<line>/<station>/<stream>/`: the stream is its tail, so one topic has one count.
2. Bytes from outside become a header or a `MessageError`, never another exception.
3. Topic, `schema`, `stream` and `camera` of a decoded message agree, or it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import msgspec

from pipeline.messages import (
    VERSION,
    AmendHeader,
    AnyHeader,
    EventHeader,
    EventKind,
    HeatmapHeader,
    ImageHeader,
    Kind,
    PartHeader,
    ResultHeader,
    StatsHeader,
    StatusHeader,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = f"hlgfa/{VERSION}/"
HEADERS: dict[Kind, type[AnyHeader]] = {
    "result": ResultHeader,
    "part": PartHeader,
    "amend": AmendHeader,
    "heatmap": HeatmapHeader,
    "image": ImageHeader,
    "status": StatusHeader,
    "event": EventHeader,
    "stats": StatsHeader,
}
SCHEMAS: dict[Kind, str] = {kind: f"hlgfa.{kind}/{VERSION}.0" for kind in HEADERS}
WITH_PAYLOAD: tuple[Kind, ...] = ("heatmap", "image")
MAX_HEADER_BYTES = 256 * 1024

_KINDS: dict[str, Kind] = {kind: kind for kind in HEADERS}
_KIND_OF: dict[type[AnyHeader], Kind] = {header: kind for kind, header in HEADERS.items()}
_DECODERS = {kind: msgspec.json.Decoder(header) for kind, header in HEADERS.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_encoder = msgspec.json.Encoder()


class MessageError(Exception):
    """These bytes are not a message of this schema; the message says what is wrong with them."""


def stream_name(kind: Kind, *, camera: str | None = None, event: EventKind | None = None) -> str:
    """Name of a stream: `result/cam1`, `event/fault`, `status`.

    Raises:
        MessageError: the camera or event that this kind needs is missing.
    """
    if kind in ("status", "stats", "part"):
        return kind
    detail = event if kind == "event" else camera
    if detail is None:
        what = "an event kind" if kind == "event" else "a camera"
        raise MessageError(f"stream {kind}: found nothing, expected {what}.")
    return f"{kind}/{detail}"


def topic(
    line: str, station: str, kind: Kind, *, camera: str | None = None, event: EventKind | None = None
) -> bytes:
    """Topic of a stream, with the trailing slash that keeps `cam1` from matching `cam10`.

    Raises:
        MessageError: a name is missing, or is not 1 to 32 letters, digits, `_` or `-`.
    """
    stream = stream_name(kind, camera=camera, event=event)
    for name in (line, station, *stream.split("/", 1)):
        if not _NAME.fullmatch(name):
            raise MessageError(f"topic: found the name {name!r}, expected 1 to 32 letters, digits, _ or -.")
    return f"{PREFIX}{line}/{station}/{stream}/".encode()


def kind_of(header: AnyHeader) -> Kind:
    """Which kind of message this header belongs to."""
    return _KIND_OF[type(header)]


def topic_of(header: AnyHeader) -> bytes:
    """The topic under which a header is published."""
    event = header.kind if isinstance(header, EventHeader) else None
    return topic(header.line, header.station, kind_of(header), camera=header.camera, event=event)


def encode(header: AnyHeader) -> bytes:
    """Header as JSON. A float that is not finite becomes null."""
    return _encoder.encode(header)


def decode(topic: bytes, frames: Sequence[bytes]) -> AnyHeader:
    """The header of a message: its first frame is the topic, `frames` are the ones after it.

    Raises:
        MessageError: unknown topic, wrong number of frames, not JSON, not the schema, or topic and header
            contradict each other.
    """
    kind = _kind_of_topic(topic)
    expected = 2 if kind in WITH_PAYLOAD else 1
    if len(frames) != expected:
        raise MessageError(f"{kind}: found {len(frames)} frames after the topic, expected {expected}.")
    if len(frames[0]) > MAX_HEADER_BYTES:
        raise MessageError(f"{kind}: found a header of {len(frames[0])} bytes, limit {MAX_HEADER_BYTES}.")
    try:
        header = _DECODERS[kind].decode(frames[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"{kind}: {error}") from error
    _check_agreement(kind, topic, header)
    return header


def _kind_of_topic(topic: bytes) -> Kind:
    parts = topic.split(b"/")
    name = parts[4].decode("ascii", "replace") if len(parts) in (6, 7) else ""
    kind = _KINDS.get(name)
    if kind is None or not topic.startswith(PREFIX.encode()):
        raise MessageError(f"topic: found {topic[:80]!r}, expected {PREFIX}<line>/<station>/<stream>/.")
    return kind


def _check_agreement(kind: Kind, found: bytes, header: AnyHeader) -> None:
    """A later minor version only adds, so it is read; another major version is not."""
    if not re.fullmatch(rf"hlgfa\.{kind}/{VERSION}\.\d{{1,6}}", header.schema):
        raise MessageError(f"{kind}: found schema {header.schema[:80]!r}, expected {SCHEMAS[kind]}.")
    expected = topic_of(header)
    if found != expected:
        raise MessageError(f"{kind}: found topic {found[:160]!r}, its header says {expected!r}.")
    stream = expected.decode().split("/", 4)[4].removesuffix("/")
    if header.stream != stream:
        raise MessageError(f"{kind}: found stream {header.stream[:80]!r}, expected {stream!r}.")


EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
