"""The publisher on real sockets: numbers, slow readers, addresses in use, hostile requests."""

import contextlib
import time

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import requests
from pipeline.config import ConfigError
from pipeline.messages import HeatmapHeader, ResultHeader
from pipeline.wire import decode, topic
from support.messages import (
    anywhere,
    await_subscriptions,
    example,
    open_publisher,
    publish,
    publish_status,
    refuse_triggers,
)

WAIT_MS = 10_000


@pytest.fixture
def connect():
    """Opens client sockets; they are closed with the test."""
    context = zmq.Context()
    opened = []

    def connect(kind, endpoint, **options):
        socket = context.socket(kind)
        opened.append(socket)
        socket.linger = 0
        socket.rcvtimeo = WAIT_MS
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(endpoint)
        return socket

    yield connect
    context.destroy(linger=0)


@pytest.fixture(params=["tcp", "ipc"])
def publisher(request, tmp_path):
    kinds = ("results", "heatmaps", "replay")
    sockets = anywhere()
    if request.param == "ipc":
        sockets = anywhere(**{kind: f"ipc://{tmp_path}/{kind}" for kind in kinds})
    with open_publisher(sockets) as publisher:
        yield publisher


def read(socket):
    topic, *frames = socket.recv_multipart()
    return decode(topic, frames)


# Streams


def test_every_stream_counts_from_one_without_a_gap(publisher, connect):
    reader = connect(zmq.SUB, publisher.results_endpoint, SUBSCRIBE=b"hlgfa/1/")
    await_subscriptions(publisher, 1)
    for _ in range(3):
        publish(publisher, "result", camera="cam1")
        publish(publisher, "result", camera="cam2")
        publish(publisher, "event")
    publish_status(publisher)
    found = [read(reader) for _ in range(10)]
    assert [(header.stream, header.seq) for header in found] == [
        *((stream, seq) for seq in (1, 2, 3) for stream in ("result/cam1", "result/cam2", "event/camera")),
        ("status", 1),
    ]
    assert {header.epoch for header in found} == {found[0].epoch}
    assert found[-1].last_seq == {"result/cam1": 3, "result/cam2": 3, "event/camera": 3}


def test_a_subscription_to_cam1_does_not_bring_cam10(publisher, connect):
    wanted = topic("press-3", "outfeed", "result", camera="cam1")
    reader = connect(zmq.SUB, publisher.results_endpoint, SUBSCRIBE=wanted)
    await_subscriptions(publisher, 1)
    publish(publisher, "result", camera="cam10")
    publish(publisher, "result", camera="cam1")
    assert read(reader).camera == "cam1"


def test_heatmaps_have_a_socket_of_their_own(publisher, connect):
    reader = connect(zmq.SUB, publisher.heatmaps_endpoint, SUBSCRIBE=b"")
    await_subscriptions(publisher, 1)
    publish(publisher, "result", camera="cam1")
    sent = publish(publisher, "heatmap", camera="cam1", payload=b"packed")
    _, head, payload = reader.recv_multipart()
    assert (msgspec.json.decode(head, type=HeatmapHeader), payload) == (sent, b"packed")


def test_the_stamp_carries_station_clock_and_time():
    with open_publisher(now_utc_ns=lambda: 1_790_000_000_000_000_001) as publisher:
        stamp = publisher.stamp("event", camera="cam1", event="camera")
        assert stamp["stream"] == "event/camera"
        assert (stamp["line"], stamp["station"], stamp["camera"]) == ("press-3", "outfeed", "cam1")
        assert (stamp["published_ns"], stamp["clock"]) == ("1790000000000000001", "ntp")


def test_a_stamp_that_is_not_published_leaves_no_gap_and_none_is_used_twice():
    with open_publisher() as publisher:
        publisher.stamp("result", camera="cam1")
        header = publish(publisher, "result", camera="cam1")
        assert header.seq == 1
        with pytest.raises(ValueError, match=r"result/cam1: found seq 1, expected 2"):
            publisher.publish(header)
        other = msgspec.structs.replace(header, seq=2, epoch="another")
        with pytest.raises(ValueError, match="result/cam1"):
            publisher.publish(other)
        assert publisher.last_seq == {"result/cam1": 1}


# Slow subscribers


def drain(reader):
    found = 0
    with contextlib.suppress(zmq.Again):
        while True:
            reader.recv_multipart(zmq.DONTWAIT)
            found += 1
    return found


def test_a_stopped_subscriber_neither_blocks_nor_starves_its_neighbour(connect):
    """One reader never reads: the other one gets everything, and the stall is seen."""
    messages, batch = 3_000, 20
    with open_publisher(msgspec.structs.replace(anywhere(), send_queue_messages=100)) as publisher:
        small = {"SUBSCRIBE": b"", "RCVHWM": 10, "RCVBUF": 8192}
        stopped = connect(zmq.SUB, publisher.results_endpoint, **small)
        quick = connect(zmq.SUB, publisher.results_endpoint, SUBSCRIBE=b"", RCVHWM=0)
        await_subscriptions(publisher, 2)
        slowest_s = 0.0
        received = 0
        for _ in range(messages // batch):
            for _ in range(batch):
                begin_s = time.perf_counter()
                publish(publisher, "result", camera="cam1")
                slowest_s = max(slowest_s, time.perf_counter() - begin_s)
            while received < publisher.last_seq["result/cam1"]:
                received = read(quick).seq
        assert received == messages
        assert drain(quick) == 0
        assert publisher.dropped >= 1
        assert slowest_s < 1.0
        assert drain(stopped) < messages


def test_nobody_listens_and_nothing_is_dropped(publisher):
    for _ in range(2_000):
        publish_status(publisher)
    assert publisher.dropped == 0


# Addresses


def test_a_port_in_use_is_named_and_nothing_stays_bound():
    with open_publisher() as first:
        taken = first.heatmaps_endpoint
        free = anywhere(heatmaps=taken)
        with pytest.raises(ConfigError, match=rf"sockets\.heatmaps: found {taken} in use.*expected.*Stop"):
            open_publisher(free)
        first_results = first.results_endpoint
    with open_publisher(anywhere(results=first_results)) as again:
        assert again.results_endpoint == first_results


def test_an_ipc_path_in_use_is_refused_and_the_first_station_still_heard(tmp_path, connect):
    path = f"ipc://{tmp_path}/results"
    with open_publisher(anywhere(results=path)) as first:
        with pytest.raises(ConfigError, match=r"sockets\.results: found ipc://.* in use"):
            open_publisher(anywhere(results=path))
        reader = connect(zmq.SUB, path, SUBSCRIBE=b"")
        await_subscriptions(first, 1)
        publish_status(first)
        assert read(reader).seq == 1


def test_an_ipc_path_left_over_by_a_killed_station_is_taken_over(tmp_path):
    import socket

    path = tmp_path / "results"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert path.exists()
    with open_publisher(anywhere(results=f"ipc://{path}")) as publisher:
        assert publisher.results_endpoint == f"ipc://{path}"


def test_an_address_that_cannot_be_bound_is_a_config_error():
    with pytest.raises(ConfigError, match=r"sockets\.replay: found .* cannot be bound .* expected"):
        open_publisher(anywhere(replay="ipc:///nowhere/results"))


def test_an_address_that_others_can_reach_is_not_bound_without_keys():
    with pytest.raises(
        ConfigError, match=r"sockets\.replay: found tcp://0\.0\.0\.0:\*, .* Run: hlgfa keys make"
    ):
        open_publisher(anywhere(replay="tcp://0.0.0.0:*"))


def test_close_can_be_repeated_and_frees_the_ports():
    publisher = open_publisher()
    endpoint = publisher.replay_endpoint
    publisher.close()
    publisher.close()
    with open_publisher(anywhere(replay=endpoint)):
        pass


# Requests


def ask(publisher, client, *frames, on_trigger=refuse_triggers):
    """Send a request, serve until it is answered, return the reply."""
    client.send_multipart(frames)
    poller = zmq.Poller()
    for socket in publisher.poll_sockets():
        poller.register(socket, zmq.POLLIN)
    served = 0
    while not served:
        assert poller.poll(WAIT_MS)
        served = publisher.serve(on_trigger)
    return requests.decode_reply(client.recv())


@pytest.fixture(params=["REQ", "DEALER"])
def client(request, publisher, connect):
    return connect(getattr(zmq, request.param), publisher.replay_endpoint)


def test_hello_tells_the_epoch_and_the_numbers(publisher, client):
    epoch = publish(publisher, "result", camera="cam1").epoch
    reply = ask(publisher, client, b'{"op":"hello","request_id":"a1"}')
    assert isinstance(reply, requests.HelloReply)
    assert (reply.epoch, reply.request_id, reply.last_seq) == (epoch, "a1", {"result/cam1": 1})


def test_snapshot_has_the_last_status_and_the_last_result_of_each_camera(publisher, client):
    assert ask(publisher, client, b'{"op":"snapshot"}') == requests.SnapshotReply(status=None, results=[])
    publish(publisher, "result", camera="cam1")
    last = [publish(publisher, "result", camera=camera, reason=camera) for camera in ("cam1", "cam2")]
    status = publish_status(publisher)
    reply = ask(publisher, client, b'{"op":"snapshot"}')
    assert reply == requests.SnapshotReply(status=status, results=last)
    assert all(isinstance(result, ResultHeader) for result in reply.results)


def test_a_trigger_reaches_the_callback_and_its_answer_the_client(publisher, client):
    asked = []

    def on_trigger(request):
        asked.append(request)
        return requests.TriggerReply(
            trigger_id=request.trigger_id, taken=False, reason_code=15, reason="busy"
        )

    data = b'{"op":"trigger","trigger_id":7,"part_id":"P7","camera":"cam1","request_id":"t7"}'
    reply = ask(publisher, client, data, on_trigger=on_trigger)
    assert asked == [requests.TriggerRequest(trigger_id=7, part_id="P7", camera="cam1", request_id="t7")]
    assert reply == requests.TriggerReply(
        trigger_id=7, taken=False, reason_code=15, reason="busy", request_id="t7"
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"op":"replay","epoch":"e","stream":"status","from":1,"to":9}',
        b'{"op":"heatmap","result_id":"r"}',
        b'{"op":"ack","consumer":"c","stream":"status","seq":1}',
    ],
)
def test_what_this_version_does_not_serve_is_said_so(publisher, client, data):
    reply = ask(publisher, client, data)
    assert isinstance(reply, requests.ErrorReply)
    assert reply.error == "not_supported"
    assert "hello, snapshot, trigger" in reply.text


def test_a_malformed_request_gets_an_error_and_triggers_nothing(publisher, client):
    for data in (
        b"",
        b"nonsense",
        b'{"op":"trigger","trigger_id":"7"}',
        b'{"op":"trigger"}',
        b"\xff",
        b"[" * 9999,
    ):
        reply = ask(publisher, client, data)
        assert isinstance(reply, requests.ErrorReply)
        assert reply.error == "malformed"


def test_a_request_beyond_the_size_limit_costs_its_client_the_connection_and_nobody_else(connect):
    with open_publisher() as publisher:
        bad = connect(zmq.DEALER, publisher.replay_endpoint, RECONNECT_IVL=-1)
        monitor = bad.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        bad.send(b"x" * 1_000_000)
        assert monitor.poll(WAIT_MS)
        bad.disable_monitor()
        monitor.close()
        good = connect(zmq.DEALER, publisher.replay_endpoint)
        assert isinstance(ask(publisher, good, b'{"op":"hello"}'), requests.HelloReply)


def test_any_frames_into_the_router_leave_it_serving(connect):
    """Whatever comes: no exception, no trigger, and the next hello of a fresh request is answered."""
    with open_publisher() as publisher:
        client = connect(zmq.DEALER, publisher.replay_endpoint, RCVHWM=0)
        hello = b'{"op":"hello","request_id":"alive"}'

        @settings(max_examples=200, deadline=None)
        @given(frames=st.lists(st.binary(max_size=200), min_size=1, max_size=5))
        def any_frames(frames):
            client.send_multipart(frames)
            client.send(hello)
            served = 0
            while served < 2:
                assert publisher.poll_sockets()[2].poll(WAIT_MS)
                served += publisher.serve(refuse_triggers)
            refused, alive = requests.decode_reply(client.recv_multipart()[-1]), client.recv_multipart()
            assert isinstance(refused, requests.ErrorReply)
            assert requests.decode_reply(alive[-1]).request_id == "alive"

        any_frames()


def test_a_flood_of_requests_is_served_in_portions(connect):
    with open_publisher() as publisher:
        client = connect(zmq.DEALER, publisher.replay_endpoint)
        for _ in range(100):
            client.send(b'{"op":"hello"}')
        served = []
        while sum(served) < 100:
            assert publisher.poll_sockets()[2].poll(WAIT_MS)
            served.append(publisher.serve(refuse_triggers))
        assert max(served) <= 32


def test_a_client_that_never_reads_its_answers_does_not_block(connect):
    small = msgspec.structs.replace(anywhere(), send_queue_messages=5)
    with open_publisher(small) as publisher:
        for camera in range(16):
            publish(publisher, "result", camera=f"cam{camera}", reason=example("result").reason * 20)
        deaf = connect(zmq.DEALER, publisher.replay_endpoint, RCVHWM=1, RCVBUF=4096)
        for _ in range(300):
            deaf.send(b'{"op":"snapshot"}')
        served = 0
        while served < 300:
            assert publisher.poll_sockets()[2].poll(WAIT_MS)
            served += publisher.serve(refuse_triggers)
        other = connect(zmq.DEALER, publisher.replay_endpoint)
        assert isinstance(ask(publisher, other, b'{"op":"hello"}'), requests.HelloReply)


def test_a_guard_of_the_connections_that_is_gone_is_told():
    with open_publisher() as publisher:
        poller = zmq.Poller()
        publisher.watch_connections(poller)
        assert publisher.refusals.due(0) == []
        publisher._doors._guard.close()
        publisher.watch_connections(poller)
        [text] = publisher.refusals.due(0)
        assert "the guard of the connections has died. Restart the station." in text


def test_what_subscribers_send_besides_subscriptions_is_ignored(connect):
    with open_publisher() as publisher:
        odd = connect(zmq.XSUB, publisher.results_endpoint)
        for frame in (b"", b"\x07rubbish", b"x" * 100, b"\x00never subscribed", b"\x01"):
            odd.send(frame)
        await_subscriptions(publisher, 1)
        publish_status(publisher)
        assert read(odd).stream == "status"
