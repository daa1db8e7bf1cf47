"""Where requests come in: read in portions, counted per peer, and refused before they cost anything."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zmq

from pipeline import requests
from pipeline.access.limits import READS_AT_ONCE, READS_PER_S, REQUESTS_PER_S, RequestLimits, TokenBucket
from pipeline.wire import MessageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.access.connections import Connections
    from pipeline.access.refusals import Refusals

MAX_ENVELOPE_FRAMES = 8
PAUSE_NS = 10_000_000
_TOO_MANY = requests.ErrorReply(
    error="too_many",
    text=f"Found too many requests, expected at most {REQUESTS_PER_S:.0f} in a second. Ask again later.",
)


class Asked(NamedTuple):
    """One request: who asks, the frames that lead its answer back, and the frames of the request.

    `peer` is the client that CURVE has proven, however many connections it has; else the connection.
    """

    peer: bytes
    envelope: list[bytes]
    body: list[bytes]

    def decode(self) -> requests.Request:
        """The request itself.

        Raises:
            MessageError: it is none of this schema.
        """
        if len(self.body) != 1:
            raise MessageError(f"request: found {len(self.body)} frames, expected 1.")
        return requests.decode_request(self.body[0])


class FrontDesk:
    """The station's ROUTER and its limits; `resume_ns` is when it reads again, None while it does."""

    def __init__(
        self, router: zmq.Socket[bytes], connections: Connections, *, refusals: Refusals, now_ns: int
    ) -> None:
        self.socket = router
        self.resume_ns: int | None = None
        self._connections, self._refusals = connections, refusals
        self._limits = RequestLimits()
        self._reads = TokenBucket(per_s=READS_PER_S, at_once=READS_AT_ONCE, now_ns=now_ns)

    def listens(self, now_ns: int) -> bool:
        """Whether it reads now; while it does not, a flood stays in the senders' own buffers."""
        if self.resume_ns is not None and now_ns >= self.resume_ns:
            self.resume_ns = None
        return self.resume_ns is None

    def receive(self, now_ns: int, *, at_most: int) -> Asked | None:
        """The next request that may be answered, None if there is none within `at_most` reads."""
        for _ in range(at_most):
            if not self.listens(now_ns):
                return None
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return None
            if not self._reads.take(now_ns):
                self.resume_ns = now_ns + PAUSE_NS  # this one is served, it is here already
            asked = _split(frames)
            self._connections.read(frames)
            if self._limits.allows(asked.peer, now_ns):
                return asked
            who = _told(frames, asked.peer)
            self._refusals.note("requests", f"more than {REQUESTS_PER_S:.0f} in a second from {who}")
            self._refuse(asked)
        return None

    def _refuse(self, asked: Asked) -> None:
        """Say that it was too much, and of which request: a client with several under way waits for it."""
        try:
            request_id = asked.decode().request_id
        except MessageError:
            request_id = None
        self.answer(asked, [requests.encode(msgspec.structs.replace(_TOO_MANY, request_id=request_id))])

    def answer(self, asked: Asked, frames: Sequence[bytes]) -> None:
        """Send a part of an answer; it is lost if the client does not read."""
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart([*asked.envelope, *frames], zmq.DONTWAIT)


def _peer(frames: Sequence[zmq.Frame]) -> bytes:
    try:
        return f"client {frames[-1].get('User-Id')}".encode()
    except zmq.ZMQError:
        return frames[0].bytes


def _told(frames: Sequence[zmq.Frame], peer: bytes) -> str:
    """A peer as people know it: the name of its key, or its address."""
    if peer.startswith(b"client "):
        return peer.decode()
    try:
        return str(frames[-1].get("Peer-Address")) or "this machine"
    except zmq.ZMQError:
        return "this machine"


def _split(frames: Sequence[zmq.Frame]) -> Asked:
    """Tell a DEALER (`id, request`) from a REQ (`id, empty, request`)."""
    parts = [frame.bytes for frame in frames[:MAX_ENVELOPE_FRAMES]]
    envelope = parts[:2] if parts[1:2] == [b""] and len(parts) > 2 else parts[:1]
    return Asked(_peer(frames), envelope, parts[len(envelope) :])
