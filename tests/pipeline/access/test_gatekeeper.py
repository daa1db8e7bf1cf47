"""Who may connect: the decision by itself, and on real sockets that other machines could reach."""

import contextlib
import socket
import time

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from pipeline.access.allow_list import LOOK_PERIOD_NS
from pipeline.access.gatekeeper import DOMAIN, VERSION, answer
from pipeline.access.key_maker import allow_key, make_keys
from pipeline.access.keys import load_client_keys, load_pair, load_station_keys
from pipeline.client import Message, ResultSubscriber
from pipeline.config import ConfigError
from pipeline.requests import HelloReply, decode_reply
from pipeline.socket_config import SecurityConfig
from pipeline.sockets import show_keys
from support.messages import anywhere, open_publisher, publish_status, refuse_triggers

PATIENCE_S = 10.0
KEY = b"k" * 32
QUESTION = [VERSION, b"1", DOMAIN, b"10.0.0.5", b"", b"CURVE", KEY]


def test_a_known_key_comes_in_under_its_name():
    properties = b"\x05X-Key\x00\x00\x00\x28" + z85.encode(KEY)
    assert answer(QUESTION, {KEY: "plc1"}).frames == [VERSION, b"1", b"200", b"OK", b"plc1", properties]


def test_an_unknown_key_is_refused_and_named():
    decided = answer(QUESTION, {b"x" * 32: "plc1"})
    assert decided.frames[2] == b"300"
    assert decided.refused == f"key {z85.encode(KEY).decode()} from 10.0.0.5 is not in the allow-list"


@given(st.lists(st.binary(max_size=40), max_size=9), st.sampled_from([QUESTION, []]))
def test_any_question_gets_an_answer_and_only_a_known_key_a_yes(frames, good):
    question = [*good[: len(good) - len(frames)], *frames]
    decided = answer(question, {KEY: "plc1"})
    assert len(decided.frames) == 6
    assert (decided.frames[2] == b"200") == (decided.refused is None) == (question == QUESTION)


# On sockets


@pytest.fixture
def keys(tmp_path):
    make_keys(tmp_path / "station", "station")
    for name in ("plc1", "stranger"):
        make_keys(tmp_path / name, name)
    allow_key(tmp_path / "station", tmp_path / "plc1" / "plc1.key", name="plc1")
    return tmp_path


def station_keys(keys):
    return load_station_keys(SecurityConfig(keys_dir=str(keys / "station")))


def client_keys(keys, name, server="station"):
    return load_client_keys(secret=keys / name / f"{name}.key_secret", server=keys / server / f"{server}.key")


@pytest.fixture
def publisher(keys):
    everywhere = dict.fromkeys(("results", "heatmaps", "replay"), "tcp://0.0.0.0:*")
    with open_publisher(anywhere(**everywhere), keys=station_keys(keys)) as publisher:
        yield publisher


def test_an_address_of_another_machine_is_a_config_error(keys):
    with pytest.raises(ConfigError, match=r"sockets\.replay: found .* cannot be bound .* expected"):
        open_publisher(anywhere(replay="tcp://192.0.2.1:5550"), keys=station_keys(keys))


def here(endpoint):
    return endpoint.replace("0.0.0.0", "127.0.0.1")


def serve_until(publisher, condition, what):
    poller = zmq.Poller()
    for polled in publisher.poll_sockets():
        poller.register(polled, zmq.POLLIN)
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, what
        poller.poll(20)
        publisher.watch_connections(poller)
        publisher.serve(refuse_triggers)


def test_an_allowed_client_hears_the_station(keys, publisher):
    with ResultSubscriber(here(publisher.results_endpoint), keys=client_keys(keys, "plc1")) as subscriber:
        serve_until(publisher, lambda: publisher.subscriptions == 1, "no subscription")
        publish_status(publisher)
        assert subscriber.receive(PATIENCE_S).header.stream == "status"
    assert not publisher.refusals.counts


def test_an_allowed_client_is_answered_under_its_name(keys, publisher):
    with zmq.Context() as context, context.socket(zmq.REQ) as plc:
        show_keys(plc, client_keys(keys, "plc1"))
        plc.connect(here(publisher.replay_endpoint))
        plc.send(b'{"op":"hello"}')
        serve_until(publisher, lambda: plc.poll(0), "no answer")
        assert isinstance(decode_reply(plc.recv()), HelloReply)


def first_message(subscriber):
    """Past the notice that no status came while the stranger was waited for."""
    items = (subscriber.receive(PATIENCE_S) for _ in range(3))
    return next(item for item in items if isinstance(item, Message))


REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)


def knock(keys, publisher, prepare):
    """A subscriber that should hear nothing, beside one that does; returns whether the first has heard."""
    with zmq.Context() as context, context.socket(zmq.SUB) as stranger:
        stranger.linger = 0
        stranger.subscribe(b"")
        prepare(stranger)
        with stranger.get_monitor_socket(REFUSED) as monitor:
            stranger.connect(here(publisher.results_endpoint))
            with ResultSubscriber(here(publisher.results_endpoint), keys=client_keys(keys, "plc1")) as known:
                serve_until(publisher, lambda: monitor.poll(0) and publisher.subscriptions, "no refusal")
                publish_status(publisher)
                assert first_message(known).header.stream == "status"
            heard = stranger.poll(0)
            stranger.disable_monitor()
    assert publisher.subscriptions <= 1
    return heard


def test_a_stranger_gets_nothing_and_is_counted_and_named(keys, publisher):
    assert not knock(keys, publisher, lambda sock: show_keys(sock, client_keys(keys, "stranger")))
    assert publisher.refusals.counts["client keys"] >= 1
    public = load_pair(keys / "stranger" / "stranger.key_secret").public.decode()
    [text] = publisher.refusals.due(0)
    assert f"key {public} from 127.0.0.1 is not in the allow-list" in text


def test_a_client_without_keys_gets_nothing(keys, publisher):
    assert not knock(keys, publisher, lambda sock: None)


def test_a_client_of_another_station_gets_nothing(keys, publisher):
    wrong = client_keys(keys, "plc1", server="stranger")
    assert not knock(keys, publisher, lambda sock: show_keys(sock, wrong))


@pytest.mark.parametrize(
    "greeting",
    [
        b"\x01\x00" + b"\x02\x00\x01",  # ZMTP 1.0: no greeting, an empty identity, a subscription
        b"\xff" + bytes(8) + b"\x7f\x01\x02" + b"\x00\x00" + b"\x00\x01\x01",  # ZMTP 2.0
        b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32),  # ZMTP 3.0 without keys
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 64,
    ],
)
def test_an_older_protocol_is_no_way_in(keys, publisher, greeting):
    port = int(publisher.results_endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(greeting)
        raw.settimeout(0.01)
        heard = []

        def ended():
            publish_status(publisher)
            with contextlib.suppress(TimeoutError):
                try:
                    heard.append(raw.recv(65536))
                except ConnectionError:
                    heard.append(b"")
            return heard and heard[-1] == b""

        serve_until(publisher, ended, "the connection was not ended")
        assert b"hlgfa" not in b"".join(heard)
    assert publisher.subscriptions == 0


def test_a_key_is_let_in_and_out_beside_a_running_station(keys, publisher):
    stranger = client_keys(keys, "stranger")
    with ResultSubscriber(here(publisher.results_endpoint), keys=stranger) as subscriber:
        serve_until(publisher, lambda: publisher.refusals.counts["client keys"], "no refusal")
        path = allow_key(keys / "station", keys / "stranger" / "stranger.key", name="hmi")

        def let_in():
            subscriber.receive(0)  # ZeroMQ renews a subscription from within it
            return publisher.subscriptions == 1

        serve_until(publisher, let_in, "not let in")
    serve_until(publisher, lambda: publisher.subscriptions == 0, "still subscribed")
    path.unlink()
    read_again_s = time.monotonic() + LOOK_PERIOD_NS / 1e9
    serve_until(publisher, lambda: time.monotonic() > read_again_s, "time stands still")
    before = publisher.refusals.counts["client keys"]
    with ResultSubscriber(here(publisher.results_endpoint), keys=stranger):
        serve_until(publisher, lambda: publisher.refusals.counts["client keys"] > before, "still let in")
    assert publisher.subscriptions == 0


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_key_that_is_taken_out_ends_what_it_has_open_and_nothing_else(keys, publisher, change):
    """A key that is replaced by another of the same name is taken out, too."""
    stranger = client_keys(keys, "stranger")
    path = allow_key(keys / "station", keys / "stranger" / "stranger.key", name="hmi")
    with (
        ResultSubscriber(here(publisher.results_endpoint), keys=client_keys(keys, "plc1")) as plc,
        ResultSubscriber(here(publisher.results_endpoint), keys=stranger),
        zmq.Context() as context,
        context.socket(zmq.DEALER) as asking,
    ):
        asking.linger = 0
        show_keys(asking, stranger)
        asking.connect(here(publisher.replay_endpoint))
        asking.send(b'{"op":"hello"}')
        serve_until(publisher, lambda: publisher.subscriptions == 2 and asking.poll(0), "not let in")
        with asking.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            if change == "removed":
                path.unlink()
            else:
                make_keys(keys / "hmi", "hmi")
                path.write_bytes((keys / "hmi" / "hmi.key").read_bytes())
            serve_until(publisher, lambda: publisher.subscriptions == 1 and monitor.poll(0), "still there")
            told = publisher.refusals.due(time.monotonic_ns())
            assert any("client hmi: its key was taken out" in text for text in told)
        publish_status(publisher)
        assert first_message(plc).header.stream == "status"


def test_a_loopback_address_stays_open_beside_keys(keys):
    mixed = anywhere(results="tcp://0.0.0.0:*")
    with (
        open_publisher(mixed, keys=station_keys(keys)) as publisher,
        zmq.Context() as context,
        context.socket(zmq.REQ) as local,
    ):
        local.connect(publisher.replay_endpoint)
        local.send(b'{"op":"hello"}')
        serve_until(publisher, lambda: local.poll(0), "no answer")
