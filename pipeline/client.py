"""A typed, checking reader of what stations publish: the socket around `StreamChecker`.

    with ResultSubscriber("tcp://127.0.0.1:5550") as subscriber:
        for item in subscriber:  # Message, Gap, EpochChange, Repeat, Stale or Unreadable
            ...

Act only on a `Message` that is not `expired`; no timely accept means reject. Keep receiving: after a restart
of the station ZeroMQ renews the subscriptions only from within `receive`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import zmq

from pipeline.config import ConfigError
from pipeline.heatmaps import MAX_RAW_BYTES, unpack_heatmap
from pipeline.messages import AnyHeader, HeatmapHeader
from pipeline.sockets import show_keys
from pipeline.stream_check import (
    FIRST_STATUS_NS,
    Notice,
    Repeat,
    Stale,
    StreamChecker,
    Unreadable,
    is_expired,
)
from pipeline.wire import PREFIX, MessageError, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.keys import ClientKeys

ANY = "+"
MAX_MESSAGE_BYTES = MAX_RAW_BYTES + 1024 * 1024


class StaleError(Exception):
    """There is no fresh status: treat the station as not ready."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; never act on it if it is `expired`. `payload` is a heatmap's packed map."""

    header: AnyHeader
    expired: bool
    payload: bytes | None = None

    def anomaly_map(self) -> NDArray[np.float32]:
        """Scores (H, W), float32, raw units as `header.threshold`.

        Raises:
            MessageError: this is not a heatmap, or its payload does not fit its header.
        """
        if not isinstance(self.header, HeatmapHeader) or self.payload is None:
            raise MessageError(f"heatmap: found a {self.header.schema} message, expected a heatmap.")
        return unpack_heatmap(self.header, self.payload)


class ResultSubscriber:
    """Subscribes to one publisher.

    `+` for `line` or `station` means any. Heatmaps come only if their address is given. What was published
    more than `max_age_ms` ago is `expired`: both machines need the same UTC. A station on another machine
    wants `keys` (`pipeline.keys.load_client_keys`).
    """

    def __init__(
        self,
        endpoint: str,
        *,
        heatmaps_endpoint: str | None = None,
        line: str = ANY,
        station: str = ANY,
        max_age_ms: float = 500.0,
        keys: ClientKeys | None = None,
        now_utc_ns: Callable[[], int] = time.time_ns,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Connect; a publisher that is not there yet is waited for.

        Raises:
            ConfigError: an address is not one that ZeroMQ can connect to.
        """
        self._line, self._station = line, station
        self._max_age_ns = int(max_age_ms * 1e6)
        self._now_utc_ns, self._now_ns = now_utc_ns, now_ns
        self._checkers: dict[str, StreamChecker] = {}
        self._known_stale: set[str] = set()
        self._keys = keys
        self._begun_ns = now_ns()
        self._items: deque[Message | Notice] = deque()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        for address in filter(None, (endpoint, heatmaps_endpoint)):
            self._connect(address)

    def _connect(self, endpoint: str) -> None:
        """One subscription for all streams: several would become active one by one and fake gaps."""
        prefix = PREFIX
        if self._line != ANY:
            prefix += self._line + "/"
            if self._station != ANY:
                prefix += self._station + "/"
        connected = self._context.socket(zmq.SUB)
        connected.setsockopt(zmq.IPV6, int("[" in endpoint))
        connected.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        connected.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        if self._keys is not None:
            show_keys(connected, self._keys)
        try:
            connected.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(
                f"address: found {endpoint!r}, expected one like tcp://127.0.0.1:5550 or ipc:///run/results."
            ) from error
        self._poller.register(connected, zmq.POLLIN)

    @property
    def stale(self) -> bool:
        """Whether any station that was heard, or all of them so far, lacks a fresh status."""
        now_ns = self._now_ns()
        return not self._checkers or any(checker.stale(now_ns) for checker in self._checkers.values())

    @property
    def ready(self) -> bool:
        """Whether every station that was heard is fresh and says that it is ready."""
        statuses = [checker.status for checker in self._checkers.values()]
        return not self.stale and all(status is not None and status.ready for status in statuses)

    def require_fresh(self) -> None:
        """Refuse to go on with a station that may be gone.

        Raises:
            StaleError: three statuses are missing, or none has come yet.
        """
        if self.stale:
            raise StaleError("No fresh status: the station or the way to it is down. Treat it as not ready.")

    def __iter__(self) -> Iterator[Message | Notice]:
        while True:
            item = self.receive()
            if item is not None:
                yield item

    def receive(self, timeout_s: float | None = None) -> Message | Notice | None:
        """The next message or notice; None if there was none in time."""
        end_ns = None if timeout_s is None else self._now_ns() + int(timeout_s * 1e9)
        while not self._items:
            ready = self._poller.poll(self._wait_ms(end_ns))
            for source, _ in ready:
                self._take(source.recv_multipart())
            if not ready:
                self._note_stale()
                if not self._items and end_ns is not None and self._now_ns() >= end_ns:
                    return None
        return self._items.popleft()

    def _wait_ms(self, end_ns: int | None) -> int | None:
        """Until there is something to do without a message: a station goes stale, or the time is up."""
        due = [
            checker.stale_at_ns() for name, checker in self._checkers.items() if name not in self._known_stale
        ]
        if not self._checkers and "" not in self._known_stale:
            due.append(self._begun_ns + FIRST_STATUS_NS)
        if end_ns is not None:
            due.append(end_ns)
        return max(0, (min(due) - self._now_ns()) // 1_000_000 + 1) if due else None

    def _note_stale(self) -> None:
        """Say once that a station is stale; only after everything that has arrived was taken in."""
        now_ns = self._now_ns()
        if not self._checkers and "" not in self._known_stale and now_ns > self._begun_ns + FIRST_STATUS_NS:
            self._known_stale.add("")
            self._items.append(Stale(""))
        for name, checker in self._checkers.items():
            if name not in self._known_stale and now_ns > checker.stale_at_ns():
                self._known_stale.add(name)
                self._items.append(Stale(name))

    def _take(self, frames: list[bytes]) -> None:
        """Decode and check one message; its notices come before it."""
        try:
            header = decode(frames[0], frames[1:])
        except MessageError as error:
            self._items.append(Unreadable(str(error)))
            return
        if self._station not in (ANY, header.station):
            return
        name = f"{header.line}/{header.station}"
        checker = self._checkers.setdefault(name, StreamChecker())
        now_utc_ns, now_ns = self._now_utc_ns(), self._now_ns()
        notices = checker.check(header, now_ns=now_ns, age_ns=now_utc_ns - int(header.published_ns))
        if not checker.stale(now_ns):
            self._known_stale.discard(name)
        expired = is_expired(header, now_utc_ns=now_utc_ns, max_age_ns=self._max_age_ns)
        expired = expired or any(isinstance(notice, Repeat) for notice in notices)
        payload = frames[2] if isinstance(header, HeatmapHeader) else None
        self._items.extend((*notices, Message(header=header, expired=expired, payload=payload)))

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
