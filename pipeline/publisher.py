"""The station's voice: results, heatmaps and answers on three ZeroMQ sockets.

Rules:
1. Nothing here blocks, and no subscriber, slow, gone or hostile, makes it raise or delays another one.
2. `seq` counts from 1 without a gap per stream and epoch; a number is used up only by sending its message.
3. Every request is answered; one that is not understood has changed nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zmq

from pipeline import requests
from pipeline.access.doors import Doors
from pipeline.access.front_desk import FrontDesk
from pipeline.messages import Common, ResultHeader, StatusHeader
from pipeline.sockets import FanOut
from pipeline.wire import SCHEMAS, MessageError, encode, stream_name, topic_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from pipeline.access.front_desk import Asked
    from pipeline.access.keys import StationKeys
    from pipeline.access.refusals import Refusals
    from pipeline.messages import AnyHeader, ClockKind, EventKind, Kind, LiveHeader, MapHeader
    from pipeline.socket_config import SocketsConfig

    OnTrigger = Callable[[requests.TriggerRequest], requests.TriggerReply | requests.ErrorReply]
    OnRecord = Callable[[requests.RecordRequest, Asked], requests.Reply | None]
    OnRecipe = Callable[[requests.RecipeRequest, Asked], requests.Reply]
    OnRelease = Callable[[requests.ReleaseHoldRequest], requests.ReleaseHoldReply]

MAX_REQUESTS_PER_CALL = 32


class _Answering(NamedTuple):
    """Who answers what; None for what this station does not serve."""

    trigger: OnTrigger
    record: OnRecord | None
    recipe: OnRecipe | None
    release: OnRelease | None

    @property
    def operations(self) -> list[str]:
        """All that are served."""
        optional = [
            (self.recipe, requests.RECIPE_OPERATIONS),
            (self.release, requests.HOLD_OPERATIONS),
            (self.record, requests.RECORD_OPERATIONS),
        ]
        return requests.OPERATIONS + [name for who, names in optional if who is not None for name in names]


class Publisher:
    """Owns the station's sockets. One thread only, as ZeroMQ wants it.

    A header is made in two steps, so that mypy checks every field and nothing is half filled:

        publisher.publish(ResultHeader(**publisher.stamp("result", camera="cam1"), result_id=..., ...))
    """

    def __init__(
        self,
        sockets: SocketsConfig,
        *,
        line: str,
        station: str,
        epoch: str,
        clock_kind: ClockKind,
        now_utc_ns: Callable[[], int],
        keys: StationKeys | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Bind the three sockets; those that other machines can reach demand keys.

        Raises:
            ConfigError: an address is in use, cannot be bound, or needs keys; nothing stays bound then.
        """
        self._line, self._station, self._epoch, self._clock = line, station, epoch, clock_kind
        self._now_utc_ns, self._now_ns = now_utc_ns, now_ns
        self._seq: dict[str, int] = {}
        self._results: dict[str, ResultHeader] = {}
        self._status: StatusHeader | None = None
        self._doors = Doors(sockets, keys)
        try:
            self._live = FanOut(*self._doors.open(zmq.XPUB, "results"))
            self._maps = FanOut(*self._doors.open(zmq.XPUB, "heatmaps"))
            self._desk = FrontDesk(
                *self._doors.open(zmq.ROUTER, "replay"), refusals=self._doors.refusals, now_ns=now_ns()
            )
            self._doors.guard()
        except BaseException:
            self.close()
            raise

    @property
    def results_endpoint(self) -> str:
        """Where results, status, events and stats are published, with the real port."""
        return _endpoint(self._live.socket)

    @property
    def heatmaps_endpoint(self) -> str:
        """Where heatmaps are published, with the real port."""
        return _endpoint(self._maps.socket)

    @property
    def replay_endpoint(self) -> str:
        """Where requests are answered, with the real port."""
        return _endpoint(self._desk.socket)

    @property
    def refusals(self) -> Refusals:
        """What clients were refused."""
        return self._doors.refusals

    @property
    def last_seq(self) -> dict[str, int]:
        """The last number of every stream, for the status message."""
        return dict(self._seq)

    @property
    def dropped(self) -> int:
        """How often a subscriber was found full: a lower bound of the messages lost (see `FanOut`)."""
        return self._live.stalls + self._maps.stalls

    @property
    def subscriptions(self) -> int:
        """Subscriptions on both sockets, as far as `serve` has taken them in."""
        return self._live.subscriptions + self._maps.subscriptions

    @property
    def maps_are_heard(self) -> bool:
        """Whether anybody subscribes to heatmaps or images, as far as `serve` has taken it in."""
        return self._maps.subscriptions > 0

    def stamp(self, kind: Kind, *, camera: str | None = None, event: EventKind | None = None) -> Common:
        """The common fields of the next header of a stream. A stamp that is not published costs nothing.

        Raises:
            MessageError: the kind needs a camera or an event kind.
        """
        stream = stream_name(kind, camera=camera, event=event)
        return Common(
            schema=SCHEMAS[kind],
            epoch=self._epoch,
            stream=stream,
            seq=self._seq.get(stream, 0) + 1,
            line=self._line,
            station=self._station,
            camera=camera,
            published_ns=str(self._now_utc_ns()),
            clock=self._clock,
        )

    def publish(self, header: LiveHeader) -> int:
        """Send a header to whoever listens and return its number.

        Raises:
            ValueError: the header does not carry this publisher's latest stamp of its stream.
        """
        self._send(self._live, header)
        if isinstance(header, ResultHeader) and header.camera is not None:
            self._results[header.camera] = header
        elif isinstance(header, StatusHeader):
            self._status = header
        return header.seq

    def publish_heatmap(self, header: MapHeader, payload: bytes) -> int:
        """Send a heatmap or an image to whoever listens and return its number.

        Raises:
            ValueError: the header does not carry this publisher's latest stamp of its stream.
        """
        self._send(self._maps, header, payload)
        return header.seq

    def _send(self, fan_out: FanOut, header: AnyHeader, *payload: bytes) -> None:
        expected = self._seq.get(header.stream, 0) + 1
        if header.epoch != self._epoch or header.seq != expected:
            raise ValueError(f"publisher: {header.stream}: found seq {header.seq}, expected {expected}.")
        frames = (topic_of(header), encode(header), *payload)
        self._seq[header.stream] = expected
        fan_out.send(frames)

    def poll_sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """Sockets to poll for POLLIN; when one is ready, call `serve`. The last one is the ROUTER."""
        return (*self._doors.bell, self._live.socket, self._maps.socket, self._desk.socket)

    def watch_connections(self, poller: zmq.Poller) -> int | None:
        """Take in which clients were put out; call it once a turn.

        While there are too many requests the ROUTER is taken from the poller: returns until when (monotonic
        ns), None while it is served.
        """
        now_ns = self._now_ns()
        self._doors.watch(now_ns)
        poller.register(self._desk.socket, zmq.POLLIN if self._desk.listens(now_ns) else 0)
        return self._desk.resume_ns

    def serve(
        self,
        on_trigger: OnTrigger,
        on_record: OnRecord | None = None,
        on_recipe: OnRecipe | None = None,
        on_release: OnRelease | None = None,
    ) -> int:
        """Take in subscriptions and waiting requests, at most 32; returns how many requests were taken.

        Args:
            on_trigger: answers a trigger request.
            on_record: answers what is asked of the record, or returns None and calls `answer` later. Without
                it nothing is served from the record.
            on_recipe: answers what is asked of recipes; None for a station without any.
            on_release: ends the hold of a camera; without it there are none.
        """
        now_ns = self._now_ns()
        self._doors.serve(now_ns)
        self._live.drain(now_ns)
        self._maps.drain(now_ns)
        for answered in range(MAX_REQUESTS_PER_CALL):
            asked = self._desk.receive(now_ns, at_most=MAX_REQUESTS_PER_CALL - answered)
            if asked is None:
                return answered
            self._take(asked, _Answering(on_trigger, on_record, on_recipe, on_release))
        return MAX_REQUESTS_PER_CALL

    def answer(self, asked: Asked, frames: Sequence[bytes]) -> None:
        """Send an answer; a client that asks but does not read its answers loses them."""
        self._desk.answer(asked, frames)

    def _take(self, asked: Asked, on: _Answering) -> None:
        try:
            request = asked.decode()
        except MessageError as error:
            malformed = requests.ErrorReply(error="malformed", text=str(error))
            self.answer(asked, [requests.encode(malformed)])
            return
        if isinstance(request, requests.RecordRequest) and on.record is not None:
            reply = on.record(request, asked)
        elif isinstance(request, requests.RecipeRequest) and on.recipe is not None:
            reply = on.recipe(request, asked)
        elif isinstance(request, requests.ReleaseHoldRequest) and on.release is not None:
            reply = on.release(request)
        else:
            reply = self._reply(request, on.trigger, on.operations)
        if reply is not None:
            reply = msgspec.structs.replace(reply, request_id=request.request_id)
            self.answer(asked, [requests.encode(reply)])

    def _reply(
        self, request: requests.Request, on_trigger: OnTrigger, operations: list[str]
    ) -> requests.Reply:
        """The answer to what the station itself knows; `operations` are all that are served."""
        if isinstance(request, requests.TriggerRequest):
            return on_trigger(request)
        if isinstance(request, requests.SnapshotRequest):
            return requests.SnapshotReply(status=self._status, results=list(self._results.values()))
        if isinstance(request, requests.HelloRequest):
            return requests.HelloReply(
                epoch=self._epoch,
                line=self._line,
                station=self._station,
                clock=self._clock,
                operations=operations,
                last_seq=self.last_seq,
            )
        known = ", ".join(operations)
        return requests.ErrorReply(error="not_supported", text=f"This version answers only: {known}.")

    def close(self) -> None:
        """Close the sockets; what is under way has 100 ms to leave. Idempotent."""
        self._doors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _endpoint(bound: zmq.Socket[bytes]) -> str:
    return bound.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]
