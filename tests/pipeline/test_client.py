"""The reader: gaps, restarts, staleness and late data as rules of a pure core, then on real sockets."""

import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.client import Message, ResultSubscriber, StaleError
from pipeline.config import ConfigError
from pipeline.heatmaps import pack_heatmap
from pipeline.messages import HeatmapHeader, ResultHeader, StatusHeader
from pipeline.stream_check import (
    EpochChange,
    Gap,
    Repeat,
    Stale,
    StreamChecker,
    Unreadable,
    is_expired,
)
from pipeline.wire import MessageError, topic
from support.messages import (
    anywhere,
    await_subscriptions,
    example,
    open_publisher,
    publish,
    publish_status,
    refuse_triggers,
)

MS = 1_000_000


def result(seq, *, epoch="a", stream="result/cam1"):
    return msgspec.structs.replace(example("result"), seq=seq, epoch=epoch, stream=stream)


def heatmap(seq, *, epoch="a"):
    return msgspec.structs.replace(example("heatmap"), seq=seq, epoch=epoch)


def status(seq, last_seq=(), *, epoch="a", **fields):
    return msgspec.structs.replace(example("status"), seq=seq, epoch=epoch, last_seq=dict(last_seq), **fields)


def feed(checker, *headers):
    return [notice for header in headers for notice in checker.check(header, now_ns=0)]


# The core


def test_a_reader_that_joins_late_has_missed_nothing():
    assert (
        feed(StreamChecker(), result(57), status(9, {"result/cam1": 57, "amend/cam1": 4}), result(58)) == []
    )


def test_a_message_lost_on_the_way_is_a_gap():
    assert feed(StreamChecker(), result(57), result(60)) == [Gap("result/cam1", 58, 59)]


def test_the_loss_of_the_last_message_shows_in_the_next_status():
    checker = StreamChecker()
    assert feed(checker, status(1, {"result/cam1": 57})) == []
    assert feed(checker, status(2, {"result/cam1": 58})) == [Gap("result/cam1", 58, 58)]
    assert feed(checker, status(3, {"result/cam1": 58}), result(59)) == []


def test_the_first_message_of_a_new_stream_may_be_lost_as_well():
    assert feed(StreamChecker(), status(1), result(2)) == [Gap("result/cam1", 1, 1)]
    assert feed(StreamChecker(), status(1), status(2, {"result/cam1": 1})) == [Gap("result/cam1", 1, 1)]


def test_a_heatmap_that_is_still_under_way_on_its_own_socket_is_no_gap():
    checker = StreamChecker()
    assert feed(checker, status(1, {"heatmap/cam1": 5}), heatmap(4), heatmap(5)) == []
    assert feed(checker, status(2, {"heatmap/cam1": 7}), heatmap(6), heatmap(8)) == [
        Gap("heatmap/cam1", 7, 7)
    ]


def test_a_restart_is_told_and_what_was_lost_meanwhile_is_a_gap():
    checker = StreamChecker()
    feed(checker, status(1), result(1))
    assert feed(checker, result(3, epoch="b")) == [EpochChange("a", "b"), Gap("result/cam1", 1, 2)]
    assert feed(checker, status(2, {"result/cam1": 4}, epoch="b")) == [
        Gap("status", 1, 1),
        Gap("result/cam1", 4, 4),
    ]


def test_a_message_of_an_earlier_epoch_is_a_repeat_and_changes_nothing():
    checker = StreamChecker()
    feed(checker, result(5), result(1, epoch="b"))
    assert feed(checker, result(6), status(1)) == [Repeat("result/cam1", 6), Repeat("status", 1)]
    assert checker.status is None
    assert feed(checker, result(2, epoch="b")) == []


@settings(deadline=None)
@given(arrived=st.sets(st.integers(1, 40), min_size=1), statuses=st.sets(st.integers(1, 40)))
def test_what_arrived_and_what_is_reported_lost_is_everything_since_the_start(arrived, statuses):
    """Whatever is lost: arrived and gaps are disjoint and, after a last status, complete."""
    checker = StreamChecker()
    notices = feed(checker, status(1))
    for number in range(1, 41):
        if number in arrived:
            notices += feed(checker, result(number))
        if number in statuses or number == 40:
            notices += feed(checker, status(number + 1, {"result/cam1": number}))
    lost = [n for gap in notices if gap.stream == "result/cam1" for n in range(gap.first, gap.last + 1)]
    assert sorted(lost + list(arrived)) == list(range(1, 41))


@settings(deadline=None)
@given(numbers=st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_a_number_is_good_once_at_most(numbers):
    checker = StreamChecker()
    good = [
        number for number in numbers if not any(isinstance(n, Repeat) for n in feed(checker, result(number)))
    ]
    assert good == sorted(set(good))


def test_three_missing_statuses_make_a_station_stale():
    checker = StreamChecker()
    assert checker.stale(0)
    checker.check(result(1), now_ns=0)
    assert checker.stale(0)
    checker.check(status(1, period_ms=200), now_ns=1000 * MS)
    assert not checker.stale(1600 * MS)
    assert checker.stale(1600 * MS + 1)
    checker.check(status(2, period_ms=200), now_ns=9000 * MS)
    assert not checker.stale(9000 * MS)


def test_a_status_that_was_long_under_way_does_not_make_a_station_fresh():
    checker = StreamChecker()
    checker.check(status(1, period_ms=200), now_ns=9000 * MS, age_ns=601 * MS)
    assert checker.stale(9000 * MS)


def test_a_restarted_station_is_stale_until_its_first_status():
    checker = StreamChecker()
    checker.check(status(1), now_ns=0)
    checker.check(result(1, epoch="b"), now_ns=1)
    assert checker.stale(1)


@pytest.mark.parametrize(
    ("age_ms", "left_ms", "expired"),
    [
        (1, 10, False),
        (10, 10, False),
        (11, 10, True),  # the deadline has passed on the way
        (501, 10_000, True),  # too old, whatever the deadline
        (-501, 10_000, True),  # from the future: the clocks cannot be compared
        (-1, 10, False),
        (1, -5, True),  # was late when it was decided
    ],
)
def test_late_data_is_expired(age_ms, left_ms, expired):
    decided_ns = 86_400_000_000_000
    times = msgspec.structs.replace(example("result").t, decided=str(decided_ns))
    header = msgspec.structs.replace(
        example("result"),
        t=times,
        deadline_ns=str(decided_ns + left_ms * MS),
        published_ns="1790000000000000000",
    )
    now = 1_790_000_000_000_000_000 + age_ms * MS
    assert is_expired(header, now_utc_ns=now, max_age_ns=500 * MS) is expired


# On sockets


@pytest.fixture
def publisher():
    with open_publisher() as publisher:
        yield publisher


@pytest.fixture
def subscriber(publisher):
    endpoint, heatmaps = publisher.results_endpoint, publisher.heatmaps_endpoint
    with ResultSubscriber(endpoint, heatmaps_endpoint=heatmaps, max_age_ms=10_000) as subscriber:
        await_subscriptions(publisher, 2)
        yield subscriber


def receive(subscriber):
    item = subscriber.receive(timeout_s=10)
    assert item is not None, "nothing came in 10 s"
    return item


def test_typed_headers_come_in_order(publisher, subscriber):
    publish_status(publisher)
    publish(publisher, "result", camera="cam1", deadline_ns="86500041300000")
    publish(publisher, "event")
    items = [receive(subscriber) for _ in range(3)]
    assert [type(item.header).__name__ for item in items] == ["StatusHeader", "ResultHeader", "EventHeader"]
    assert not any(item.expired for item in items)
    assert subscriber.ready
    subscriber.require_fresh()


def test_a_heatmap_becomes_scores_again(publisher, subscriber):
    quantised = np.arange(64, dtype=np.uint8).reshape(8, 8)
    payload, raw_bytes, crc32 = pack_heatmap(quantised, "zstd")
    fields = {"shape": (8, 8), "raw_bytes": raw_bytes, "crc32": crc32, "scale": 0.5, "offset": 1.0}
    publish(publisher, "heatmap", camera="cam1", payload=payload, **fields)
    item = receive(subscriber)
    assert isinstance(item.header, HeatmapHeader)
    np.testing.assert_array_equal(item.anomaly_map(), (quantised * 0.5 + 1).astype(np.float32))
    publish_status(publisher)
    with pytest.raises(MessageError, match="expected a heatmap"):
        receive(subscriber).anomaly_map()


def test_a_gap_comes_before_the_message_that_shows_it(publisher, subscriber):
    publish_status(publisher)
    assert isinstance(receive(subscriber).header, StatusHeader)
    publish_status(publisher, last_seq={"result/cam1": 2})
    assert receive(subscriber) == Gap("result/cam1", 1, 2)
    assert isinstance(receive(subscriber).header, StatusHeader)


def test_a_silent_station_is_stale_once_and_fresh_again_with_its_next_status(publisher, subscriber):
    assert subscriber.stale
    with pytest.raises(StaleError):
        subscriber.require_fresh()
    publish_status(publisher, period_ms=30)
    assert isinstance(receive(subscriber), Message)
    assert receive(subscriber) == Stale("press-3/outfeed")
    assert subscriber.stale
    assert not subscriber.ready
    publish_status(publisher, period_ms=10_000)
    assert isinstance(receive(subscriber), Message)
    assert not subscriber.stale
    assert subscriber.receive(timeout_s=0) is None


def test_a_station_that_was_never_there_is_stale():
    with open_publisher() as absent:
        endpoint = absent.results_endpoint
    with ResultSubscriber(endpoint) as subscriber:
        assert receive(subscriber) == Stale("")
        assert subscriber.receive(timeout_s=0.01) is None


def test_a_restarted_station_is_told(publisher, subscriber):
    publish_status(publisher)
    old = receive(subscriber).header.epoch
    sockets = anywhere(results=publisher.results_endpoint, heatmaps=publisher.heatmaps_endpoint)
    publisher.close()
    with open_publisher(sockets) as again:
        while again.subscriptions < 2:  # renewed only while the reader receives
            assert not isinstance(subscriber.receive(timeout_s=0.02), Message)
            again.serve(refuse_triggers)
        new = publish_status(again).epoch
        items = [receive(subscriber)]
        while not isinstance(items[-1], Message):
            items.append(receive(subscriber))
        assert EpochChange(old, new) in items


def test_one_station_can_be_chosen_from_several(publisher):
    with ResultSubscriber(publisher.results_endpoint, line="press-3", station="other") as subscriber:
        await_subscriptions(publisher, 1)
        publish_status(publisher)
        assert subscriber.receive(timeout_s=0.05) is None
    with ResultSubscriber(publisher.results_endpoint, station="other") as subscriber:
        await_subscriptions(publisher, 1)
        publish_status(publisher)
        assert subscriber.receive(timeout_s=0.05) is None


def test_an_unreadable_message_is_told_and_the_next_one_read(publisher, subscriber):
    place = topic("press-3", "outfeed", "status")
    publisher.poll_sockets()[0].send_multipart([place, b"{}"])
    item = receive(subscriber)
    assert isinstance(item, Unreadable)
    assert "required field" in item.text
    publish_status(publisher)
    assert isinstance(receive(subscriber), Message)


def test_a_result_that_is_read_too_late_is_expired(publisher):
    later = lambda: time.time_ns() + 3_000_000_000  # noqa: E731
    with ResultSubscriber(publisher.results_endpoint, now_utc_ns=later) as subscriber:
        await_subscriptions(publisher, 1)
        publish(publisher, "result", camera="cam1")
        item = receive(subscriber)
        assert isinstance(item.header, ResultHeader)
        assert item.expired


def test_an_impossible_address_is_a_config_error():
    with pytest.raises(ConfigError, match=r"address: found 'nonsense', expected one like tcp://"):
        ResultSubscriber("nonsense")


def test_close_can_be_repeated(publisher):
    subscriber = ResultSubscriber(publisher.results_endpoint)
    subscriber.close()
    subscriber.close()
