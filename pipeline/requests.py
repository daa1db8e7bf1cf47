"""What a client may ask of the station's ROUTER, and what it hears back. Pure: no sockets, no clock.

JSON, tagged by `op`. `request_id` comes back unchanged, for clients with several requests under way.
Version 1.0 serves hello, snapshot and trigger; the others are answered with `not_supported`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.messages import ClockKind, ResultHeader, StatusHeader
from pipeline.wire import MessageError

MAX_REQUEST_BYTES = 16 * 1024
Text = Annotated[str, Meta(max_length=128)]


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """Base of the requests."""

    request_id: Annotated[str, Meta(max_length=64)] | None = None


class HelloRequest(_Request, frozen=True, kw_only=True, tag="hello"):
    """Who are you?"""


class SnapshotRequest(_Request, frozen=True, kw_only=True, tag="snapshot"):
    """The last status and the last result of each camera, for those who join late."""


class TriggerRequest(_Request, frozen=True, kw_only=True, tag="trigger"):
    """Inspect a part now; without `camera` the station must have exactly one."""

    trigger_id: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    part_id: Text | None = None
    job_id: Text | None = None
    camera: Text | None = None


class ReplayRequest(_Request, frozen=True, kw_only=True, tag="replay"):
    """Send these messages of a stream again."""

    epoch: Text
    stream: Text
    first: Annotated[int, Meta(ge=1)] = msgspec.field(name="from")
    last: Annotated[int, Meta(ge=1)] = msgspec.field(name="to")


class HeatmapRequest(_Request, frozen=True, kw_only=True, tag="heatmap"):
    """Send the heatmap of a result."""

    result_id: Text


class AckRequest(_Request, frozen=True, kw_only=True, tag="ack"):
    """A named consumer has safely stored a stream up to `seq`."""

    consumer: Text
    stream: Text
    seq: Annotated[int, Meta(ge=1)]


class _Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """Base of the replies."""

    schema: str = "hlgfa.reply/1.0"
    request_id: str | None = None


class HelloReply(_Reply, frozen=True, kw_only=True, tag="hello"):
    """The station, its current epoch, and the last number of every stream."""

    epoch: str
    line: str
    station: str
    clock: ClockKind
    operations: list[str]
    last_seq: dict[str, int]


class SnapshotReply(_Reply, frozen=True, kw_only=True, tag="snapshot"):
    """The last status, null before the first one, and the last result of each camera."""

    status: StatusHeader | None
    results: list[ResultHeader]


class TriggerReply(_Reply, frozen=True, kw_only=True, tag="trigger"):
    """`taken`: one result with this trigger id follows; otherwise none does, and `reason` says why."""

    trigger_id: int
    taken: bool
    reason_code: int = 0
    reason: str = ""


class ErrorReply(_Reply, frozen=True, kw_only=True, tag="error"):
    """The request was not served and has changed nothing."""

    error: Literal["malformed", "not_supported", "too_many"]
    text: str


Request = HelloRequest | SnapshotRequest | TriggerRequest | ReplayRequest | HeatmapRequest | AckRequest
Reply = HelloReply | SnapshotReply | TriggerReply | ErrorReply
OPERATIONS = ["hello", "snapshot", "trigger"]

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
encode = msgspec.json.Encoder().encode


def decode_request(data: bytes) -> Request:
    """A request from its bytes.

    Raises:
        MessageError: too long, not JSON, or not a request of this schema.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise MessageError(f"request: found {len(data)} bytes, limit {MAX_REQUEST_BYTES}.")
    try:
        return _requests.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"request: {error}") from error


def decode_reply(data: bytes) -> Reply:
    """A reply from its bytes.

    Raises:
        MessageError: not JSON, or not a reply of this schema.
    """
    try:
        return _replies.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"reply: {error}") from error
