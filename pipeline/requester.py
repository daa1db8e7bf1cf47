"""Asks a station's ROUTER one thing after another and waits for the answer."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, TypeVar

import msgspec
import zmq

from pipeline.client import connect
from pipeline.reader import Message
from pipeline.requests import (
    ChangeoverRequest,
    ErrorReply,
    HeatmapReply,
    HeatmapRequest,
    RecordRequest,
    SnapshotReply,
    SnapshotRequest,
    TriggerRequest,
    decode_reply,
    encode,
)
from pipeline.wire import decode

if TYPE_CHECKING:
    from typing_extensions import Self

    from pipeline.access.keys import ClientKeys
    from pipeline.requests import Reply, Request

AGAIN_S = 1.0
RETRY_S = 0.1
PACE_S = 0.007
"""From one request of the record to the next: with what a recovery asks, less than the 250 a second beyond
which a station refuses a client."""
ReplyT = TypeVar("ReplyT")


class Pace:
    """Keeps requests of the record `PACE_S` apart; the clock is an argument."""

    def __init__(self) -> None:
        self._not_before_s = 0.0

    def delay_s(self, now_s: float) -> float:
        """How long the next request, which is about to be sent, has to wait."""
        delay_s = max(0.0, self._not_before_s - now_s)
        self._not_before_s = now_s + delay_s + PACE_S
        return delay_s


class RequestError(Exception):
    """A request was refused, or not answered in time; the message says which and why."""


class Requester:
    """A client of one station's ROUTER."""

    def __init__(self, endpoint: str, *, keys: ClientKeys | None = None) -> None:
        """Connect; a station that is not there yet is waited for, one on another machine wants `keys`.

        Raises:
            ConfigError: the address is not one that ZeroMQ can connect to.
        """
        self._numbers = itertools.count(1)
        self._pace = Pace()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = connect(self._context.socket(zmq.DEALER), endpoint, keys)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request, kind: type[ReplyT], *, timeout_s: float = 5.0) -> ReplyT:
        """The answer to a request; do not use it for `replay`, whose answer is many.

        The request is sent again every second until it is answered, and after a refusal that may pass; not so
        a `trigger` or a `changeover`, which would be taken for a second one, or come too late for its part.

        Raises:
            RequestError: it was refused, not answered in time, or answered by something else.
        """
        reply = decode_reply(self._ask(request, timeout_s)[0])
        if not isinstance(reply, kind):
            raise RequestError(refusal(request, reply))
        return reply

    def snapshot(self, *, timeout_s: float = 5.0) -> SnapshotReply:
        """The last status and the last result of every camera, for who joins late.

        Raises:
            RequestError: no answer in time.
        """
        return self.ask(SnapshotRequest(), SnapshotReply, timeout_s=timeout_s)

    def heatmap(self, result_id: str, *, timeout_s: float = 5.0) -> Message | None:
        """The heatmap of a result; None if the station does not have it any more.

        Raises:
            RequestError: no answer in time, or the request was refused.
        """
        request = HeatmapRequest(result_id=result_id)
        frames = self._ask(request, timeout_s)
        reply = decode_reply(frames[0])
        if not isinstance(reply, HeatmapReply):
            raise RequestError(refusal(request, reply))
        if not reply.found:
            return None
        return Message(header=decode(frames[1], frames[2:]), expired=True, payload=frames[3])

    def _ask(self, request: Request, timeout_s: float) -> list[bytes]:
        request_id = f"request-{next(self._numbers)}"
        data = encode(msgspec.structs.replace(request, request_id=request_id))
        end_s = time.monotonic() + timeout_s
        once = isinstance(request, TriggerRequest | ChangeoverRequest)
        if isinstance(request, RecordRequest):
            time.sleep(self._pace.delay_s(time.monotonic()))
        while (left_s := end_s - time.monotonic()) > 0:
            self._socket.send(data)
            wait_s = left_s if once else min(AGAIN_S, left_s)
            frames = self._await(request_id, time.monotonic() + wait_s)
            if frames is not None:
                if once or not passing(decode_reply(frames[0])):
                    return frames
                time.sleep(RETRY_S)
        raise RequestError(no_answer(request, timeout_s))

    def _await(self, request_id: str, end_s: float) -> list[bytes] | None:
        """The answer, answers to earlier requests left out; None if there is none in time."""
        while (wait_s := end_s - time.monotonic()) > 0:
            if self._socket.poll(int(wait_s * 1e3) + 1):
                frames = self._socket.recv_multipart()
                if decode_reply(frames[0]).request_id == request_id:
                    return frames
        return None

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def passing(reply: Reply) -> bool:
    """Whether the same request may succeed in a moment."""
    return isinstance(reply, ErrorReply) and reply.error in {"busy", "failed", "too_many"}


def refusal(request: Request, reply: Reply) -> str:
    """Why an answer is not the one that was hoped for."""
    if isinstance(reply, ErrorReply):
        return f"{type(request).__name__}: {reply.error}: {reply.text}"
    return f"{type(request).__name__}: found the answer {type(reply).__name__}."


def no_answer(request: Request, timeout_s: float) -> str:
    """That nobody has answered."""
    return f"{type(request).__name__}: found no answer in {timeout_s} s. Is the station running?"
