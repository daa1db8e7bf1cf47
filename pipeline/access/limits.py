"""How much a client may ask. Pure: no sockets, the clock is an argument.

A peer has a budget of its own, and all together have one of reading: what is beyond a peer's budget is
refused with an answer that is already made; what is beyond that of all is left in the socket, where TCP holds
its sender back, so that a flood costs the station no more than `READS_PER_S`.
"""

from __future__ import annotations

from collections import OrderedDict

REQUESTS_PER_S, REQUESTS_AT_ONCE = 250.0, 500
READS_PER_S, READS_AT_ONCE = 1000.0, 1000
SUBSCRIPTIONS_PER_CONNECTION, SUBSCRIPTIONS_IN_ALL = 256, 2048
CHANGES_PER_S, CHANGES_AT_ONCE = 50.0, 600
MAX_TOPIC_BYTES = 160
MAX_PEERS = 1024
UNREAD_REQUEST_BYTES, UNREAD_SUBSCRIPTION_BYTES, FORGIVEN_BYTES_PER_S = 1_000_000, 64_000, 500.0
BAN_NS = 10_000_000_000
FRAME_OVERHEAD_BYTES = 64


class TokenBucket:
    """`at_once` tokens, refilled at `per_s`; starts full."""

    def __init__(self, *, per_s: float, at_once: float, now_ns: int) -> None:
        self._per_ns = per_s / 1e9
        self._at_once = at_once
        self._tokens = at_once
        self._filled_ns = now_ns

    def take(self, now_ns: int, amount: float = 1.0) -> bool:
        """Take tokens if they are there; a refusal takes none."""
        gained = max(0, now_ns - self._filled_ns) * self._per_ns
        self._tokens = min(self._at_once, self._tokens + gained)
        self._filled_ns = max(self._filled_ns, now_ns)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True


class RequestLimits:
    """One budget a peer, at most `MAX_PEERS` of them: the one that was silent longest is forgotten."""

    def __init__(self) -> None:
        self._peers: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def allows(self, peer: bytes, now_ns: int) -> bool:
        """Whether this peer may ask now; it costs the peer a token if so."""
        bucket = self._peers.get(peer)
        if bucket is None:
            bucket = TokenBucket(per_s=REQUESTS_PER_S, at_once=REQUESTS_AT_ONCE, now_ns=now_ns)
            self._peers[peer] = bucket
            if len(self._peers) > MAX_PEERS:
                self._peers.popitem(last=False)
        self._peers.move_to_end(peer)
        return bucket.take(now_ns)

    def __len__(self) -> int:
        return len(self._peers)


class SubscriptionLimits:
    """What subscribers may send to one XPUB socket, which keeps every topic of every connection in memory.

    `total` counts the subscriptions of all; those of a connection that ends come back without its number.
    """

    def __init__(self) -> None:
        self.total = 0
        self._held: OrderedDict[int, int] = OrderedDict()
        self._changes: dict[int, TokenBucket] = {}

    def note(self, connection: int | None, frame: bytes, now_ns: int) -> str | None:
        """Take in a frame of a connection, None if it has ended; says why that has gone too far."""
        step = {b"\x01": 1, b"\x00": -1}.get(frame[:1], 0)
        self.total = max(0, self.total + step)
        if connection is None:
            return None
        held = self._held.get(connection, 0) + step
        self._remember(connection, max(0, held), now_ns)
        if len(frame) - 1 > MAX_TOPIC_BYTES:
            return f"a topic of {len(frame) - 1} bytes, limit {MAX_TOPIC_BYTES}"
        if held > SUBSCRIPTIONS_PER_CONNECTION:
            return f"more than {SUBSCRIPTIONS_PER_CONNECTION} subscriptions of one connection"
        if step > 0 and self.total > SUBSCRIPTIONS_IN_ALL:
            return f"more than {SUBSCRIPTIONS_IN_ALL} subscriptions in all"
        if not self._changes[connection].take(now_ns):
            return f"more than {CHANGES_PER_S:.0f} changes of subscriptions in a second"
        return None

    def _remember(self, connection: int, held: int, now_ns: int) -> None:
        self._held[connection] = held
        self._held.move_to_end(connection)
        if connection not in self._changes:
            self._changes[connection] = TokenBucket(
                per_s=CHANGES_PER_S, at_once=CHANGES_AT_ONCE, now_ns=now_ns
            )
        if len(self._held) > MAX_PEERS:
            oldest, _ = self._held.popitem(last=False)
            del self._changes[oldest]


class UnreadBytes:
    """Bytes that one connection has sent and that made no whole message yet: more than `limit` is too much.

    Some are forgiven with time: heartbeats are sent and never read. `deliver` may be called by another thread
    than `exceeds`: each has numbers of its own, which only grow.
    """

    def __init__(self, now_ns: int, *, limit: int) -> None:
        self._limit = limit
        self._delivered = 0
        self._received_before = 0
        self._delivered_before = 0
        self._unread = 0.0
        self._looked_ns = now_ns

    def deliver(self, frames: int, size: int) -> None:
        """A whole message was read; each of its frames has some bytes of the protocol around it."""
        self._delivered += size + frames * FRAME_OVERHEAD_BYTES

    def exceeds(self, received: int, now_ns: int) -> bool:
        """Whether too much is unread, by the number of bytes that the kernel has received so far."""
        forgiven = max(0, now_ns - self._looked_ns) * FORGIVEN_BYTES_PER_S / 1e9
        delivered = self._delivered
        fresh = received - self._received_before - (delivered - self._delivered_before)
        self._unread = max(0.0, self._unread + fresh - forgiven)
        self._received_before, self._delivered_before, self._looked_ns = received, delivered, now_ns
        return self._unread > self._limit


class Bans:
    """Addresses that were put out and may not come back yet; an empty one, of ipc, is never banned.

    Two threads may use it: what each changes or asks is one step.
    """

    def __init__(self) -> None:
        self._until_ns: OrderedDict[str, int] = OrderedDict()

    def ban(self, address: str, now_ns: int) -> None:
        """Keep an address out for `BAN_NS`; of more than `MAX_PEERS` the oldest is let in early."""
        if address:
            self._until_ns[address] = now_ns + BAN_NS
            self._until_ns.move_to_end(address)
        if len(self._until_ns) > MAX_PEERS:
            self._until_ns.popitem(last=False)

    def hold(self, address: str, now_ns: int) -> bool:
        """Whether an address is still kept out."""
        return now_ns < self._until_ns.get(address, now_ns)
