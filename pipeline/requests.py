"""What a client may ask of the station's ROUTER, and what it hears back. Pure: no sockets, no clock.

JSON, tagged by `op`. `request_id` comes back unchanged, for clients with several requests under way. Every
request has one answer, but `replay`: any number of `item` and then one `end`. An `item` and a `heatmap`
answer have more frames after the JSON: those of the message as it was published.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.messages import ClockKind, ResultHeader, StatusHeader
from pipeline.record_config import RecordedKind
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
    """Inspect a part now; without `camera` the station must have exactly one.

    With `recipe` the part is a reject 31 if that is not the active one.
    """

    trigger_id: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    part_id: Text | None = None
    job_id: Text | None = None
    camera: Text | None = None
    recipe: Annotated[int, Meta(ge=1, le=0xFFFF)] | None = None


class RecipesRequest(_Request, frozen=True, kw_only=True, tag="recipes"):
    """Which recipes are there, and which one is active?"""


class ChangeoverRequest(_Request, frozen=True, kw_only=True, tag="changeover"):
    """Change to this recipe while the line runs. Progress comes as events of kind `recipe`."""

    recipe: Annotated[int, Meta(ge=1, le=0xFFFF)]
    operator: Text = ""


class ReleaseHoldRequest(_Request, frozen=True, kw_only=True, tag="release_hold"):
    """Accept parts of a held camera again; its drift charts begin anew, with `new_baseline` by learning."""

    camera: Text
    operator: Annotated[str, Meta(min_length=1, max_length=128)]
    new_baseline: bool = False


class ReplayRequest(_Request, frozen=True, kw_only=True, tag="replay"):
    """Send these messages of a stream again: of `result/...`, `part`, `amend/...` or `event/...`.

    At most 256 messages or 1 MiB come for one request; `end` says where to go on.
    """

    epoch: Text
    stream: Text
    first: Annotated[int, Meta(ge=1, le=2**53)] = msgspec.field(name="from")
    last: Annotated[int, Meta(ge=1, le=2**53)] = msgspec.field(name="to")


class HeatmapRequest(_Request, frozen=True, kw_only=True, tag="heatmap"):
    """Send the heatmap of a result."""

    result_id: Text


class AckRequest(_Request, frozen=True, kw_only=True, tag="ack"):
    """A named consumer has safely stored a stream up to `seq`, and all of it from earlier starts.

    `epoch` null: that of the station now.
    """

    consumer: Text
    stream: Text
    seq: Annotated[int, Meta(ge=1, le=2**53)]
    epoch: Text | None = None


class BacklogRequest(_Request, frozen=True, kw_only=True, tag="backlog"):
    """What has a named consumer not acknowledged so far?"""

    consumer: Text


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


class ReleaseHoldReply(_Reply, frozen=True, kw_only=True, tag="release_hold"):
    """`released`: the camera was held and is not any more. `reason`: why nothing was done."""

    camera: str
    released: bool
    reason: str = ""


class RecipeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe; `sha256` of this version as it was verified here, null if it never was."""

    id: int
    version: int
    title: str
    sha256: str | None
    active: bool


class RecipesReply(_Reply, frozen=True, kw_only=True, tag="recipes"):
    """The recipes by id, and what is wrong with files that cannot be used."""

    recipes: list[RecipeEntry]
    problems: list[str]


class ChangeoverReply(_Reply, frozen=True, kw_only=True, tag="changeover"):
    """`accepted`: the changeover has begun, and an event says how it ends; else `reason` says why not."""

    recipe: int
    accepted: bool
    reason: str = ""


class ItemReply(_Reply, frozen=True, kw_only=True, tag="item"):
    """One message of a replay; its topic and header are the next two frames."""


class EndReply(_Reply, frozen=True, kw_only=True, tag="end"):
    """The end of the answer to a `replay`.

    The items before it are without a gap from `from` on. Then `gone` (first, last) are not there any more,
    if it is not null. `last` is the last number that this answer accounts for, `from` - 1 if none: items
    were lost on the way if they do not reach that far. `next` is where to ask on, null if there is nothing
    more up to `to`. `following` is the epoch of the station's next start, null if `epoch` is that of now or
    not known any more.
    """

    epoch: str
    stream: str
    last: int
    gone: tuple[int, int] | None
    next: int | None
    following: str | None = None


class HeatmapReply(_Reply, frozen=True, kw_only=True, tag="heatmap"):
    """`found`: topic, header and payload of the heatmap are the next three frames."""

    result_id: str
    found: bool


class AckReply(_Reply, frozen=True, kw_only=True, tag="ack"):
    """The cursor is on the disk; it is where it was if the request was behind it."""

    consumer: str
    stream: str
    epoch: str
    seq: int


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """The first message of a stream that a consumer has not acknowledged, or that will come next."""

    epoch: str
    stream: str
    first: int = msgspec.field(name="from")


class BacklogReply(_Reply, frozen=True, kw_only=True, tag="backlog"):
    """Where to begin to replay every stream of these kinds; one that is not listed begins at 1 of `epoch`.

    `epoch` is that of the station now; replay the starts between by way of `end.following`.
    """

    consumer: str
    epoch: str
    kinds: list[RecordedKind]
    streams: list[Backlog]


class ErrorReply(_Reply, frozen=True, kw_only=True, tag="error"):
    """The request was not served and has changed nothing."""

    error: Literal["malformed", "not_supported", "too_many", "busy", "unknown", "failed"]
    text: str


RecipeRequest = RecipesRequest | ChangeoverRequest
RecordRequest = ReplayRequest | HeatmapRequest | AckRequest | BacklogRequest
Request = HelloRequest | SnapshotRequest | TriggerRequest | RecipeRequest | ReleaseHoldRequest | RecordRequest
RecipeReply = RecipesReply | ChangeoverReply
RecordReply = ItemReply | EndReply | HeatmapReply | AckReply | BacklogReply
Reply = HelloReply | SnapshotReply | TriggerReply | RecipeReply | ReleaseHoldReply | RecordReply | ErrorReply
OPERATIONS = ["hello", "snapshot", "trigger"]
RECIPE_OPERATIONS = ["recipes", "changeover"]
HOLD_OPERATIONS = ["release_hold"]
RECORD_OPERATIONS = ["replay", "heatmap", "ack", "backlog"]

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
