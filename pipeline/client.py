"""A typed, checking reader of what stations publish: the sockets around `Reader`.

    with ResultSubscriber("tcp://127.0.0.1:5550") as subscriber:
        for item in subscriber:  # Message, Gap, EpochChange, Repeat, Stale or Unreadable
            ...

With `replay_endpoint` what was missed is asked for: results, parts, amendments and events come in order and
exactly once, `Lost` in place of what is not to be had any more. Act only on a `Message` that is not
`expired`, as what comes again mostly is; no timely accept means reject. Keep receiving: after a restart of
the station ZeroMQ renews the subscriptions only from within `receive`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

import zmq

from pipeline.config import ConfigError
from pipeline.heatmaps import MAX_RAW_BYTES
from pipeline.reader import ANY, Item, Message, Reader
from pipeline.recovery import Recovery
from pipeline.sockets import show_keys
from pipeline.wire import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from typing_extensions import Self

    from pipeline.access.keys import ClientKeys

__all__ = ["ANY", "Item", "Message", "ResultSubscriber", "StaleError"]

MAX_MESSAGE_BYTES = MAX_RAW_BYTES + 1024 * 1024
SocketT = TypeVar("SocketT", bound="zmq.Socket[Any]")


class StaleError(Exception):
    """There is no fresh status: treat the station as not ready."""


class ResultSubscriber:
    """Subscribes to one publisher.

    `+` for `line` or `station` means any. Heatmaps come only if their address is given. What was published
    more than `max_age_ms` ago is `expired`: both machines need the same UTC. A station on another machine
    wants `keys` (`pipeline.access.keys.load_client_keys`).
    """

    def __init__(
        self,
        endpoint: str,
        *,
        heatmaps_endpoint: str | None = None,
        replay_endpoint: str | None = None,
        line: str = ANY,
        station: str = ANY,
        max_age_ms: float = 500.0,
        keys: ClientKeys | None = None,
        now_utc_ns: Callable[[], int] = time.time_ns,
        now_ns: Callable[[], int] = time.monotonic_ns,
        recovery: Recovery | None = None,
    ) -> None:
        """Connect; a publisher that is not there yet is waited for.

        Raises:
            ConfigError: an address is not one that ZeroMQ can connect to.
        """
        if recovery is None and replay_endpoint is not None:
            recovery = Recovery()
        self._reader = Reader(
            line=line,
            station=station,
            max_age_ms=max_age_ms,
            now_utc_ns=now_utc_ns,
            now_ns=now_ns,
            recovery=recovery,
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        addresses = (endpoint, heatmaps_endpoint, replay_endpoint)
        sockets, self._dealer = connect_reader(self._context, addresses, prefix_of(line, station), keys)
        self._poller = zmq.Poller()
        for source in sockets:
            self._poller.register(source, zmq.POLLIN)

    @property
    def stale(self) -> bool:
        """Whether any station that was heard, or all of them so far, lacks a fresh status."""
        return self._reader.stale

    @property
    def ready(self) -> bool:
        """Whether every station that was heard is fresh and says that it is ready."""
        return self._reader.ready

    def require_fresh(self) -> None:
        """Refuse to go on with a station that may be gone.

        Raises:
            StaleError: three statuses are missing, or none has come yet.
        """
        if self.stale:
            raise StaleError("No fresh status: the station or the way to it is down. Treat it as not ready.")

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self.receive()
            if item is not None:
                yield item

    def receive(self, timeout_s: float | None = None) -> Item | None:
        """The next message or notice; None if there was none in time."""
        reader = self._reader
        end_ns = None if timeout_s is None else reader.now_ns() + int(timeout_s * 1e9)
        while not reader.items:
            self._ask()
            sources = self._poller.poll(reader.wait_ms(end_ns))
            for source, _ in sources:
                take = reader.answer if source is self._dealer else reader.take
                take(source.recv_multipart())
            if not sources:
                reader.note_stale()
                if not reader.items and end_ns is not None and reader.now_ns() >= end_ns:
                    return None
        return reader.items.popleft()

    def _ask(self) -> None:
        request = self._reader.request()
        if request is not None and self._dealer is not None:
            with contextlib.suppress(zmq.Again):  # the recovery asks again
                self._dealer.send(request, zmq.DONTWAIT)

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def prefix_of(line: str, station: str) -> bytes:
    """One subscription for all streams: several would become active one by one and fake gaps."""
    if line == ANY:
        return PREFIX.encode()
    return f"{PREFIX}{line}/{'' if station == ANY else station + '/'}".encode()


def connect_reader(
    context: zmq.Context[SocketT],
    addresses: tuple[str, str | None, str | None],
    prefix: bytes,
    keys: ClientKeys | None,
    queue_messages: int | None = None,
) -> tuple[list[SocketT], SocketT | None]:
    """Sockets to results, heatmaps and replay, as far as they are wanted; the last one once more.

    Raises:
        ConfigError: an address is not one that ZeroMQ can connect to; the context is destroyed then.
    """
    sockets = []
    try:
        for address in filter(None, addresses[:2]):
            source = context.socket(zmq.SUB)
            if queue_messages is not None:
                source.setsockopt(zmq.RCVHWM, queue_messages)
            source.setsockopt(zmq.SUBSCRIBE, prefix)
            sockets.append(connect(source, address, keys))
        if addresses[2] is None:
            return sockets, None
        dealer = connect(context.socket(zmq.DEALER), addresses[2], keys)
    except ConfigError:
        context.destroy(linger=0)
        raise
    return [*sockets, dealer], dealer


def connect(socket: SocketT, endpoint: str, keys: ClientKeys | None) -> SocketT:
    """Connect a client's socket; `keys` are needed for a station on another machine.

    Raises:
        ConfigError: the address is not one that ZeroMQ can connect to.
    """
    socket.setsockopt(zmq.IPV6, int("[" in endpoint))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    if keys is not None:
        show_keys(socket, keys)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ConfigError(
            f"address: found {endpoint!r}, expected one like tcp://127.0.0.1:5550 or ipc:///run/results."
        ) from error
    return socket
