"""The station's bound ZeroMQ sockets: binding with a clear error, and the fan-out that never blocks."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import zmq

from pipeline.access.gatekeeper import DOMAIN
from pipeline.access.limits import SubscriptionLimits
from pipeline.config import ConfigError
from pipeline.socket_config import is_local, keys_are_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.access.connections import Connections
    from pipeline.access.keys import ClientKeys, KeyPair

LINGER_MS = 100
# A little above the longest request, so that one just too long still gets an answer.
MAX_INCOMING_BYTES = 20 * 1024
# Topics are short; but CURVE's own handshake has commands of 300 bytes and more.
MAX_SUBSCRIPTION_BYTES = 1024
INCOMING_QUEUE_MESSAGES = 32
RECEIVE_BUFFER_BYTES = 64 * 1024
HANDSHAKE_MS, HEARTBEAT_MS, SILENT_MS = 2_000, 5_000, 15_000
MAX_DRAINED = 256


class AddressInUseError(ConfigError):
    """Another program, most likely another station, has bound the address."""


def bind_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    endpoint: str,
    *,
    what: str,
    queue_messages: int,
    keys: KeyPair | None = None,
) -> zmq.Socket[bytes]:
    """A bound socket; `what` is its name in the configuration, `keys` are the station's own.

    Raises:
        AddressInUseError: another program has it.
        ConfigError: the address cannot be bound, or needs keys and there are none.
    """
    if keys is None and not is_local(endpoint):
        raise ConfigError(f"sockets.{what}: {keys_are_missing(endpoint)}")
    _refuse_ipc_in_use(endpoint, what)
    bound = context.socket(kind)
    bound.setsockopt(zmq.LINGER, LINGER_MS)
    bound.setsockopt(zmq.SNDHWM, queue_messages)
    _limit_incoming(bound, kind)
    bound.setsockopt(zmq.IPV6, int("[" in endpoint))
    if keys is not None and not is_local(endpoint):
        _demand_keys(bound, keys)
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


def show_keys(socket_: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make a client's socket prove its key, and refuse a station that has not the expected one."""
    assert keys.pair.secret is not None
    socket_.setsockopt(zmq.CURVE_SERVERKEY, keys.server)
    socket_.setsockopt(zmq.CURVE_PUBLICKEY, keys.pair.public)
    socket_.setsockopt(zmq.CURVE_SECRETKEY, keys.pair.secret)


def _limit_incoming(bound: zmq.Socket[bytes], kind: int) -> None:
    """What one connection can make this process keep."""
    size = MAX_SUBSCRIPTION_BYTES if kind == zmq.XPUB else MAX_INCOMING_BYTES
    bound.setsockopt(zmq.MAXMSGSIZE, size)
    bound.setsockopt(zmq.RCVHWM, INCOMING_QUEUE_MESSAGES)
    bound.setsockopt(zmq.RCVBUF, RECEIVE_BUFFER_BYTES)
    bound.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def _demand_keys(bound: zmq.Socket[bytes], keys: KeyPair) -> None:
    """Encrypt, let nobody in whom the gatekeeper refuses, and forget a peer whose machine has gone."""
    assert keys.secret is not None
    bound.setsockopt(zmq.CURVE_SERVER, 1)
    bound.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    bound.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    bound.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    bound.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENT_MS)


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


def _in_use(endpoint: str, what: str) -> AddressInUseError:
    return AddressInUseError(
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

    def __init__(self, bound: zmq.Socket[bytes], connections: Connections) -> None:
        self.socket = bound
        self.stalls = 0
        self._connections = connections
        self._limits = SubscriptionLimits()
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

    @property
    def subscriptions(self) -> int:
        """Subscriptions that `drain` has taken in."""
        return self._limits.total

    def drain(self, now_ns: int) -> None:
        """Take in what subscribers sent: 1 + topic subscribes, 0 + topic ends it; all else is ignored.

        Who sends too much of it is put out: libzmq keeps every topic of every connection.
        """
        for _ in range(MAX_DRAINED):
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            connection = self._connections.read(frames)
            why = self._limits.note(connection, frames[0].bytes, now_ns)
            if why is not None:
                self._connections.refuse(frames, why)
