"""The station's voice: results, heatmaps and answers on three ZeroMQ sockets.

Rules:
1. Nothing here blocks, and no subscriber, slow, gone or hostile, makes it raise or delays another one.
2. `seq` counts from 1 without a gap per stream and epoch; a number is used up only by sending its message.
3. Every request is answered; one that is not understood has changed nothing.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
import zmq

from pipeline import requests
from pipeline.messages import Common, ResultHeader, StatusHeader
from pipeline.sockets import FanOut, bind_socket
from pipeline.wire import SCHEMAS, MessageError, encode, stream_name, topic_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from pipeline.config import SocketsConfig
    from pipeline.messages import AnyHeader, ClockKind, EventKind, HeatmapHeader, Kind, LiveHeader

    OnTrigger = Callable[[requests.TriggerRequest], requests.TriggerReply | requests.ErrorReply]
    OnRecord = Callable[[requests.RecordRequest, list[bytes], bytes], requests.Reply | None]

MAX_REQUESTS_PER_CALL = 32


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
    ) -> None:
        """Bind the three sockets.

        Raises:
            ConfigError: an address is in use or cannot be bound; nothing stays bound then.
        """
        self._line, self._station, self._epoch, self._clock = line, station, epoch, clock_kind
        self._now_utc_ns = now_utc_ns
        self._seq: dict[str, int] = {}
        self._results: dict[str, ResultHeader] = {}
        self._status: StatusHeader | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        queue = sockets.send_queue_messages
        try:
            self._live = FanOut(self._bind(zmq.XPUB, sockets.results, "results", queue))
            self._maps = FanOut(self._bind(zmq.XPUB, sockets.heatmaps, "heatmaps", queue))
            self._router = self._bind(zmq.ROUTER, sockets.replay, "replay", queue)
        except BaseException:
            self.close()
            raise

    def _bind(self, kind: int, endpoint: str, what: str, queue: int) -> zmq.Socket[bytes]:
        return bind_socket(self._context, kind, endpoint, what=what, queue_messages=queue)

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
        return _endpoint(self._router)

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

    def publish_heatmap(self, header: HeatmapHeader, payload: bytes) -> int:
        """Send a heatmap to whoever listens and return its number.

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
        """Sockets to poll for POLLIN; when one is ready, call `serve`."""
        return (self._live.socket, self._maps.socket, self._router)

    def serve(self, on_trigger: OnTrigger, on_record: OnRecord | None = None) -> int:
        """Take in subscriptions and waiting requests, at most 32; returns how many requests were taken.

        Args:
            on_trigger: answers a trigger request.
            on_record: answers what is asked of the record, or returns None and calls `answer` later; it gets
                the request, its envelope and its bytes. Without it nothing is served from the record.
        """
        self._live.drain()
        self._maps.drain()
        for answered in range(MAX_REQUESTS_PER_CALL):
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return answered
            self._take(frames, on_trigger, on_record)
        return MAX_REQUESTS_PER_CALL

    def answer(self, envelope: Sequence[bytes], frames: Sequence[bytes]) -> None:
        """Send an answer; a client that asks but does not read its answers loses them."""
        with contextlib.suppress(zmq.Again):
            self._router.send_multipart([*envelope, *frames], zmq.DONTWAIT)

    def _take(self, frames: list[bytes], on_trigger: OnTrigger, on_record: OnRecord | None) -> None:
        """Answer a DEALER (`id, request`) or a REQ (`id, empty, request`)."""
        envelope = frames[:2] if frames[1:2] == [b""] and len(frames) > 2 else frames[:1]
        body = frames[len(envelope) :]
        try:
            if len(body) != 1:
                raise MessageError(f"request: found {len(body)} frames, expected 1.")
            request = requests.decode_request(body[0])
        except MessageError as error:
            malformed = requests.ErrorReply(error="malformed", text=str(error))
            self.answer(envelope, [requests.encode(malformed)])
            return
        if isinstance(request, requests.RecordRequest) and on_record is not None:
            reply = on_record(request, envelope, body[0])
        else:
            reply = self._reply(request, on_trigger, served=on_record is not None)
        if reply is not None:
            reply = msgspec.structs.replace(reply, request_id=request.request_id)
            self.answer(envelope, [requests.encode(reply)])

    def _reply(self, request: requests.Request, on_trigger: OnTrigger, *, served: bool) -> requests.Reply:
        """The answer to what needs no record; `served` if the record can be asked, too."""
        operations = requests.OPERATIONS + (requests.RECORD_OPERATIONS if served else [])
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
        self._context.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _endpoint(bound: zmq.Socket[bytes]) -> str:
    return bound.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]
