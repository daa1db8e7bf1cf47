"""What every child process does first and last: read how it is started, link up, report a failed start."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec
import zmq

from pipeline.internal import Heartbeat, StartFailed, encode

if TYPE_CHECKING:
    from typing_extensions import Self

HEARTBEAT_NS = 100_000_000
PR_SET_PDEATHSIG = 1
StartT = TypeVar("StartT")


def read_start(kind: type[StartT]) -> StartT:
    """Read the start message from standard input, after tying this process's life to the station's.

    The kernel kills the child when the station dies, however it dies; not so if it has died while this
    interpreter was loading, so the station's process id is the first argument. Ctrl-C in a terminal reaches
    the whole process group: it is the station's to handle, it stops the children in order.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return msgspec.msgpack.decode(sys.stdin.buffer.read(), type=kind)


class Link:
    """The child's end of the pair to the station; a context manager."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.connect(endpoint)
        self._last_ns = 0

    def send(self, message: msgspec.Struct, *payload: bytes | None) -> None:
        """Send a message and, if there is one, its payload as further parts."""
        parts = [encode(message), *(part for part in payload if part is not None)]
        self._socket.send_multipart(parts)
        self._last_ns = time.monotonic_ns()

    def receive(self, timeout_ms: int) -> bytes | None:
        """Wait for a message, at most `timeout_ms`; None if none came."""
        if self._socket.poll(timeout_ms):
            return self._socket.recv()
        return None

    def heartbeat(self, frames_skipped: int = 0, frames_lost: int = 0) -> None:
        """Say that this process lives, unless something else just did."""
        if time.monotonic_ns() - self._last_ns >= HEARTBEAT_NS:
            self.send(Heartbeat(frames_skipped=frames_skipped, frames_lost=frames_lost))

    def close(self) -> None:
        """Send what is waiting (at most half a second) and close; safe to call again."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def fail_start(link: Link, text: str) -> NoReturn:
    """Tell the station why this process cannot start, and end it without a traceback."""
    link.send(StartFailed(text=text))
    leave(link)


def leave(link: Link) -> NoReturn:
    """End this process without a traceback, once its last words are sent.

    At once: a half-opened or lost camera SDK, or a runtime, may hang for seconds or crash when it is closed.
    """
    link.close()
    os._exit(2)


def leave_at_once(endpoint: str, last_words: msgspec.Struct) -> NoReturn:
    """End this process from any of its threads, over a link of its own: the main one's may be blocked."""
    link = Link(endpoint)
    link.send(last_words)
    leave(link)
