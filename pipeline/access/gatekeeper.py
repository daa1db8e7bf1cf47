"""Answers libzmq's question whether a client may connect: ZAP, https://rfc.zeromq.org/spec/27/.

libzmq asks over an inproc socket of its context and keeps the connection waiting, not the station: the
question is answered from the station's own loop, so there is no thread that could die unseen. If nobody
answers, nobody gets in, as long as the socket is bound: it is opened before and closed after those it guards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import zmq
from zmq.utils import z85

from pipeline.access.allow_list import AllowList

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from pathlib import Path

    from pipeline.access.limits import Bans
    from pipeline.access.refusals import Refusals

DOMAIN = b"hlgfa"
ADDRESS = "inproc://zeromq.zap.01"
VERSION = b"1.0"
KEY = "X-Key"
"""The property of all that a client sends that has its key, in Z85; libzmq takes it from the answer."""
MAX_QUESTIONS = 64


class Answer(msgspec.Struct, frozen=True):
    """What libzmq is told; `refused` says why a client may not connect, None if it may."""

    frames: list[bytes]
    refused: str | None


def answer(question: Sequence[bytes], names: Mapping[bytes, str]) -> Answer:
    """Decide on one question: version, request, domain, address, identity, mechanism, key.

    A client's name goes back as the user id, and its key as a property: libzmq attaches both to all that
    this client sends.
    """
    request = question[1] if len(question) > 1 else b""
    if len(question) != 7 or question[0] != VERSION or question[5] != b"CURVE" or len(question[6]) != 32:
        return _refusal(request, "no CURVE key")
    address, key = question[3].decode("ascii", "replace"), question[6]
    if question[2] != DOMAIN:
        return _refusal(request, f"found domain {question[2][:32]!r}")
    name = names.get(key)
    if name is None:
        return _refusal(
            request,
            f"key {z85.encode(key).decode()} from {address} is not in the allow-list",
        )
    properties = _property(KEY, z85.encode(key))
    return Answer([VERSION, request, b"200", b"OK", name.encode("ascii"), properties], None)


def _property(name: str, value: bytes) -> bytes:
    """As ZMTP's metadata: https://rfc.zeromq.org/spec/23/."""
    return bytes([len(name)]) + name.encode("ascii") + len(value).to_bytes(4, "big") + value


def _refusal(request: bytes, why: str) -> Answer:
    """With status 300, a temporary failure.

    The client waits until the handshake times out, and tries again. After a 400 it never would, not even once
    its key is allowed.
    """
    return Answer([VERSION, request, b"300", b"No access", b"", b""], why)


class Gatekeeper:
    """Owns the socket that libzmq asks, one per context."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], allowed: Path, *, bans: Bans, refusals: Refusals
    ) -> None:
        self._allowed = AllowList(allowed)
        self._bans, self._refusals = bans, refusals
        self._problems: list[str] = []
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ADDRESS)

    def serve(self, now_ns: int) -> None:
        """Answer the questions that wait, at most 64."""
        for _ in range(MAX_QUESTIONS):
            try:
                question = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            banned = self._banned(question, now_ns)
            decided = answer(question, {} if banned else self._allowed.names(now_ns))
            self.socket.send_multipart(decided.frames)
            if banned:
                self._refusals.note("connections", "an address that was put out is back too soon")
            elif decided.refused is not None:
                self._refusals.note("client keys", decided.refused)
            self._tell_problems()

    def _banned(self, question: Sequence[bytes], now_ns: int) -> bool:
        return len(question) > 3 and self._bans.hold(question[3].decode("ascii", "replace"), now_ns)

    def _tell_problems(self) -> None:
        """A key file that cannot be used is told once, not with every client."""
        if self._allowed.problems != self._problems:
            self._problems = self._allowed.problems
            for text in self._problems:
                self._refusals.note("key files", text)

    def known(self, now_ns: int) -> Container[bytes]:
        """The keys of those who may stay connected: another object once that has changed."""
        return self._allowed.known(now_ns)

    def close(self) -> None:
        """Close last: without it libzmq lets every key in. Idempotent."""
        self.socket.close()
