"""Who is connected to the bound sockets, and putting out whoever goes too far.

libzmq can neither end a connection of a bound socket nor bound what one keeps there. One message of many
frames is collected until the last has come (measured: 1.8 GB in 3 s on a loopback), and an XPUB takes in
subscriptions for as long as they come, inside the call of whoever publishes. No high-water mark sees either.
The kernel does: the sockets' monitors tell the descriptors of their connections, TCP tells the bytes that
each has received, and a connection is ended by shutting its descriptor down: to libzmq, the peer has gone.

This happens on a thread of its own: the loop that it protects may be held up by what it ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from pipeline.access.descriptors import address_of, identity, put_out, received_bytes
from pipeline.access.gatekeeper import KEY
from pipeline.access.limits import Bans, UnreadBytes

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

MAX_CONNECTIONS, MAX_OF_ONE_ADDRESS = 256, 64
LOOK_PERIOD_S = 0.002
MAX_EVENTS = 256
MAX_KEYED = 2 * MAX_CONNECTIONS
_WATCHED = zmq.EVENT_ACCEPTED | zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED


class _Connection:
    """One connection: which socket it is, whose, and what it has sent without an end."""

    def __init__(self, inode: int, address: str, unread: UnreadBytes) -> None:
        self.inode, self.address, self.unread = inode, address, unread


class _Keyed(NamedTuple):
    """Whose connection it is: the name of its key, and the key."""

    descriptor: int
    name: str
    key: bytes


class Connections:
    """The connections of one bound socket; `what` names it in the refusals.

    `read`, `keep`, `refuse` and `told` are for the thread of the socket; `look` is the guard's.
    """

    def __init__(self, bound: zmq.Socket[bytes], what: str, *, unread_bytes: int, bans: Bans) -> None:
        self._bound, self._what, self._unread_bytes = bound, what, unread_bytes
        self._open: dict[int, _Connection] = {}
        self._keyed: dict[int, _Keyed] = {}
        self._known: Container[bytes] | None = None
        self._orders: deque[tuple[int, str]] = deque()
        self._revoked: deque[tuple[int, _Keyed]] = deque()
        self._said: deque[str] = deque()
        self._bans = bans
        self.monitor: zmq.Socket[bytes] = bound.get_monitor_socket(_WATCHED)

    def read(self, frames: Sequence[zmq.Frame]) -> int | None:
        """Note that a message was read; returns which connection it is of, None if that has ended."""
        try:
            descriptor = int(frames[-1].get(zmq.SRCFD))
        except zmq.ZMQError:
            return None
        connection = self._open.get(descriptor)
        if connection is not None:
            connection.unread.deliver(len(frames), sum(len(frame) for frame in frames))
        inode = identity(descriptor)
        if inode is not None:
            self._note_key(inode, descriptor, frames[-1])
        return inode

    def keep(self, known: Container[bytes]) -> None:
        """Have every connection ended whose key is none of these; those without a key stay."""
        if known is self._known:
            return
        self._known = known
        for inode, keyed in list(self._keyed.items()):
            self._check(inode, keyed)

    def _note_key(self, inode: int, descriptor: int, frame: zmq.Frame) -> None:
        """Who has never sent anything hears nothing either, so that it is enough to look at what comes."""
        if inode in self._keyed:
            return
        try:
            keyed = _Keyed(descriptor, str(frame.get("User-Id")), z85.decode(str(frame.get(KEY))))
        except zmq.ZMQError:
            return
        if len(self._keyed) >= MAX_KEYED:
            self._keyed = {old: one for old, one in self._keyed.items() if identity(one.descriptor) == old}
        self._keyed[inode] = keyed
        self._check(inode, keyed)

    def _check(self, inode: int, keyed: _Keyed) -> None:
        if self._known is not None and keyed.key not in self._known:
            del self._keyed[inode]
            self._revoked.append((inode, keyed))

    def refuse(self, frames: Sequence[zmq.Frame], why: str) -> None:
        """Have the connection ended that a message came from."""
        self._orders.append((int(frames[-1].get(zmq.SRCFD)), why))

    def told(self) -> list[str]:
        """Who was put out since the last call, and why."""
        return [self._said.popleft() for _ in range(len(self._said))]

    def look(self, now_ns: int) -> None:
        """Take in who has come and gone, and put out who has gone too far."""
        for _ in range(MAX_EVENTS):
            try:
                event = parse_monitor_message(self.monitor.recv_multipart(zmq.DONTWAIT))
            except zmq.Again:
                break
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._accept(int(event["value"]), now_ns)
            else:
                self._open.pop(int(event["value"]), None)
        for _ in range(len(self._orders)):
            descriptor, why = self._orders.popleft()
            self._put_out(descriptor, why, now_ns)
        for _ in range(len(self._revoked)):
            inode, keyed = self._revoked.popleft()
            if put_out(keyed.descriptor, inode):
                self._say(f"client {keyed.name}: its key was taken out of the allow-list")
        for descriptor, connection in list(self._open.items()):
            received = received_bytes(descriptor, connection.inode)
            if received is not None and connection.unread.exceeds(received, now_ns):
                self._put_out(descriptor, "more bytes than its messages can have", now_ns)

    def _accept(self, descriptor: int, now_ns: int) -> None:
        inode = identity(descriptor)
        if inode is None:
            return
        address = address_of(descriptor)
        of_address = sum(connection.address == address for connection in self._open.values())
        if self._bans.hold(address, now_ns):
            put_out(descriptor, inode)
            self._say(f"{address} is back too soon")
        elif len(self._open) >= MAX_CONNECTIONS or of_address >= MAX_OF_ONE_ADDRESS:
            put_out(descriptor, inode)
            limits = f"limits {MAX_OF_ONE_ADDRESS} and {MAX_CONNECTIONS}"
            self._say(f"{of_address} connections of {address}, {len(self._open)} in all, {limits}")
        else:
            unread = UnreadBytes(now_ns, limit=self._unread_bytes)
            self._open[descriptor] = _Connection(inode, address, unread)

    def _put_out(self, descriptor: int, why: str, now_ns: int) -> None:
        connection = self._open.pop(descriptor, None)
        if connection is not None and put_out(descriptor, connection.inode):
            self._bans.ban(connection.address, now_ns)
            self._say(f"{connection.address}: {why}")

    def _say(self, text: str) -> None:
        if len(self._said) < MAX_EVENTS:
            self._said.append(f"{self._what}: {text}")

    def close(self) -> None:
        """Stop watching; before the bound socket is closed. Idempotent."""
        if not self.monitor.closed:
            self._bound.disable_monitor()
            self.monitor.close()


class Guard:
    """The thread that looks at all connections every 2 ms."""

    def __init__(self, watched: Sequence[Connections]) -> None:
        self._watched = watched
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="connections", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still looks."""
        return self._thread.is_alive()

    def _loop(self) -> None:
        while not self._closing.wait(LOOK_PERIOD_S):
            for connections in self._watched:
                connections.look(time.monotonic_ns())

    def close(self) -> None:
        """Stop looking. Idempotent."""
        self._closing.set()
        self._thread.join()
