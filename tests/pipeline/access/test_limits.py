"""The limits by themselves: no sockets, a clock of their own."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.access.limits import (
    BAN_NS,
    CHANGES_AT_ONCE,
    MAX_PEERS,
    MAX_TOPIC_BYTES,
    REQUESTS_AT_ONCE,
    REQUESTS_PER_S,
    SUBSCRIPTIONS_IN_ALL,
    SUBSCRIPTIONS_PER_CONNECTION,
    Bans,
    RequestLimits,
    SubscriptionLimits,
    TokenBucket,
    UnreadBytes,
)
from pipeline.access.refusals import TELL_PERIOD_NS, Refusals

S = 1_000_000_000


@given(st.lists(st.tuples(st.integers(-S, 3 * S), st.floats(0.1, 5)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(steps):
    now_ns = latest_ns = 5 * S
    bucket = TokenBucket(per_s=2, at_once=10, now_ns=now_ns)
    taken = 0.0
    for step_ns, amount in steps:
        now_ns += step_ns
        latest_ns = max(latest_ns, now_ns)
        taken += amount if bucket.take(now_ns, amount) else 0
        assert taken <= 10 + 2 * (latest_ns - 5 * S) / S + 1e-6


def test_a_peer_beyond_its_budget_is_refused_and_its_neighbour_is_not():
    limits = RequestLimits()
    assert all(limits.allows(b"loud", 0) for _ in range(REQUESTS_AT_ONCE))
    assert not limits.allows(b"loud", 0)
    assert limits.allows(b"quiet", 0)
    assert limits.allows(b"loud", round(S / REQUESTS_PER_S))
    assert not limits.allows(b"loud", round(S / REQUESTS_PER_S))


def test_peers_are_forgotten_before_they_fill_the_memory():
    limits = RequestLimits()
    for number in range(5 * MAX_PEERS):
        limits.allows(number.to_bytes(4, "big"), 0)
    assert len(limits) == MAX_PEERS


def subscribe(limits, connection, count, first=0):
    """The first reason to put the connection out; None if there was none."""
    reasons = (limits.note(connection, b"\x01topic%d" % (first + n), n * S) for n in range(count))
    return next((reason for reason in reasons if reason), None)


def test_one_connection_may_not_subscribe_without_end():
    limits = SubscriptionLimits()
    assert subscribe(limits, 1, SUBSCRIPTIONS_PER_CONNECTION) is None
    assert "subscriptions of one connection" in subscribe(limits, 1, 1)
    assert subscribe(limits, 2, 1) is None


def test_all_connections_may_not_subscribe_without_end():
    limits = SubscriptionLimits()
    many = SUBSCRIPTIONS_IN_ALL // SUBSCRIPTIONS_PER_CONNECTION
    assert not any(subscribe(limits, number, SUBSCRIPTIONS_PER_CONNECTION) for number in range(many))
    assert "subscriptions in all" in subscribe(limits, many, 1)
    for _ in range(2):  # what libzmq says of a connection that has ended
        assert limits.note(None, b"\x00topic", 0) is None
    assert subscribe(limits, many + 1, 1) is None


def test_long_topics_and_endless_changes_are_refused():
    limits = SubscriptionLimits()
    assert "limit" in limits.note(1, b"\x01" + b"x" * (MAX_TOPIC_BYTES + 1), 0)
    changes = (limits.note(2, (b"\x01t", b"\x00t")[n % 2], 0) for n in range(CHANGES_AT_ONCE + 1))
    assert "changes of subscriptions" in next(filter(None, changes))
    assert limits.note(3, b"", 0) is None


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.binary(max_size=4)), max_size=200))
def test_any_frames_of_subscribers_leave_a_count_that_is_not_negative(frames):
    limits = SubscriptionLimits()
    for connection, frame in frames:
        limits.note(connection, frame, 0)
        assert 0 <= limits.total <= len(frames)


def test_a_message_without_an_end_is_seen_by_its_bytes():
    unread = UnreadBytes(0, limit=1000)
    assert not unread.exceeds(1000, 1)
    assert unread.exceeds(1002, 2)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 20_000)), max_size=300))
def test_messages_that_are_read_never_count(messages):
    unread = UnreadBytes(0, limit=0)
    received = 0
    for frames, size in messages:
        received += size + 40 * frames
        unread.deliver(frames, size)
        assert not unread.exceeds(received, 0)


def test_heartbeats_are_forgiven_for_a_month():
    unread = UnreadBytes(0, limit=64_000)
    assert not any(unread.exceeds(hour * 3600 * 400, hour * 3600 * S) for hour in range(24 * 31))


def test_an_address_is_banned_for_a_while_and_ipc_never():
    bans = Bans()
    bans.ban("10.0.0.5", 0)
    bans.ban("", 0)
    assert bans.hold("10.0.0.5", BAN_NS - 1)
    assert not any((bans.hold("10.0.0.5", BAN_NS), bans.hold("10.0.0.6", 1), bans.hold("", 1)))


def test_refusals_are_counted_each_and_told_now_and_then():
    refusals = Refusals()
    assert refusals.due(0) == []
    refusals.note("requests", "of A")
    assert refusals.due(5) == ["refused requests, 1 new, 1 in all: of A"]
    for _ in range(100):
        refusals.note("requests", "of B")
    assert refusals.due(6) == []
    refusals.note("client keys", "C")
    assert refusals.due(7) == ["refused client keys, 1 new, 1 in all: C"]
    assert refusals.due(5 + TELL_PERIOD_NS) == ["refused requests, 100 new, 101 in all: of B"]
    assert refusals.due(5 + 9 * TELL_PERIOD_NS) == []
    assert refusals.counts == {"requests": 101, "client keys": 1}
