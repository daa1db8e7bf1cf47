"""Where requests come in: read in portions, counted per peer, and refused before they cost anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import zmq

from pipeline import requests
from pipeline.client_limits import READS_AT_ONCE, READS_PER_S, REQUESTS_PER_S, RequestLimits, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.connections import Connections
    from pipeline.refusals import Refusals

MAX_ENVELOPE_FRAMES = 8
PAUSE_NS = 10_000_000
_TOO_MANY = requests.encode(
    requests.ErrorReply(
        error="too_many",
        text=f"Found too many requests, expected at most {REQUESTS_PER_S:.0f} in a second.",
    )
)


class Asked(NamedTuple):
    """One request: the frames that lead its answer back, and the frames of the request."""

    envelope: list[bytes]
    body: list[bytes]


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
            peer = _peer(frames)
            if self._limits.allows(peer, now_ns):
                return asked
            self._refusals.note(
                "requests", f"more than {REQUESTS_PER_S:.0f} in a second from {_told(frames, peer)}"
            )
            self.answer(asked, _TOO_MANY)
        return None

    def answer(self, asked: Asked, reply: bytes) -> None:
        """Send an answer; it is lost if the client does not read."""
        try:
            self.socket.send_multipart([*asked.envelope, reply], zmq.DONTWAIT)
        except zmq.Again:
            return


def _peer(frames: Sequence[zmq.Frame]) -> bytes:
    """Whose budget pays: the client that CURVE has proven, however many connections it has; else this one."""
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
    return Asked(envelope, parts[len(envelope) :])
