"""The station's bound ZeroMQ sockets: binding with a clear error, and the fan-out that never blocks."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import zmq

from pipeline.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

LINGER_MS = 100
MAX_INCOMING_BYTES = 64 * 1024
MAX_DRAINED = 256


def bind_socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, *, what: str, queue_messages: int
) -> zmq.Socket[bytes]:
    """A bound socket; `what` is its name in the configuration.

    Raises:
        ConfigError: the address is in use or cannot be bound.
    """
    _refuse_ipc_in_use(endpoint, what)
    bound = context.socket(kind)
    bound.setsockopt(zmq.LINGER, LINGER_MS)
    bound.setsockopt(zmq.SNDHWM, queue_messages)
    bound.setsockopt(zmq.MAXMSGSIZE, MAX_INCOMING_BYTES)
    bound.setsockopt(zmq.IPV6, int("[" in endpoint))
    try:
        bound.bind(endpoint)
    except zmq.ZMQError as error:
        bound.close(linger=0)
        if error.errno == errno.EADDRINUSE:
            raise _in_use(endpoint, what) from error
        raise ConfigError(
            f"sockets.{what}: found {endpoint}, which cannot be bound ({error.strerror}), expected a free "
            "port of this machine or an ipc path in a directory that exists. Change it in config.yaml."
        ) from error
    return bound


def _refuse_ipc_in_use(endpoint: str, what: str) -> None:
    """Knock first: libzmq unlinks an ipc path before it binds, which would deafen a running station."""
    if not endpoint.startswith("ipc://"):
        return
    path = endpoint.removeprefix("ipc://")
    if path.startswith("@"):
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        try:
            knock.connect(path)
        except OSError:
            return
    raise _in_use(endpoint, what)


def _in_use(endpoint: str, what: str) -> ConfigError:
    return ConfigError(
        f"sockets.{what}: found {endpoint} in use by another program, expected a free address. Stop the "
        "other station, or change the address in config.yaml."
    )


class FanOut:
    """An XPUB socket that loses messages only for the subscriber that does not keep up, and notices it.

    XPUB's two modes are each half of what is needed. Strict (`XPUB_NODROP`): one full subscriber queue makes
    `send` fail for everybody; with one reader stopped, its neighbour got 100 of 5000 messages. Lossy: the
    neighbour got all 5000, but nothing tells the sender of the loss. So a message is tried strictly, and if
    that fails, noted and sent again lossily: 5000 of 5000, and the stall is seen.

    `stalls` counts how often a subscriber's queue was found full, and is a lower bound of what it lost: until
    that subscriber has read its queue half empty, libzmq leaves it out, and no send fails for it. What was
    lost exactly, the reader knows from the sequence numbers.
    """

    def __init__(self, bound: zmq.Socket[bytes]) -> None:
        self.socket = bound
        self.stalls = 0
        self.subscriptions = 0
        bound.setsockopt(zmq.XPUB_VERBOSER, 1)
        bound.setsockopt(zmq.XPUB_NODROP, 1)

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send to all subscribers; False if one of them was found full and lost it."""
        try:
            self.socket.send_multipart(frames, zmq.DONTWAIT)
        except zmq.Again:
            self.stalls += 1
        else:
            return True
        # The refusal always falls on the first frame: a queue counts whole messages and only gets emptier
        # while one is being sent, so nothing is sent in halves.
        self.socket.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            self.socket.send_multipart(frames, zmq.DONTWAIT)
        finally:
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        return False

    def drain(self) -> None:
        """Take in what subscribers sent: 1 + topic subscribes, 0 + topic ends it; all else is ignored."""
        for _ in range(MAX_DRAINED):
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if frames[0][:1] == b"\x01":
                self.subscriptions += 1
            elif frames[0][:1] == b"\x00":
                self.subscriptions = max(0, self.subscriptions - 1)
