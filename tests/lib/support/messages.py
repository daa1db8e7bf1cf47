"""Headers for tests: the examples of docs/schema/examples, and stations to publish them."""

import itertools
import time
from pathlib import Path

import msgspec
import zmq

from pipeline.publisher import Publisher
from pipeline.socket_config import SocketsConfig
from pipeline.wire import HEADERS

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "schema" / "examples"
_EPOCHS = itertools.count(1)


def example(kind):
    """The documented example of one kind of header."""
    return msgspec.json.decode((EXAMPLES / f"{kind}.json").read_bytes(), type=HEADERS[kind])


def anywhere(**changes):
    """Socket addresses with free ports."""
    addresses = dict.fromkeys(("results", "heatmaps", "replay"), "tcp://127.0.0.1:*")
    return SocketsConfig(**{**addresses, **changes})


def open_publisher(sockets=None, *, now_utc_ns=time.time_ns, keys=None):
    return Publisher(
        sockets or anywhere(),
        line="press-3",
        station="outfeed",
        epoch=f"epoch-{next(_EPOCHS)}",
        clock_kind="ntp",
        now_utc_ns=now_utc_ns,
        keys=keys,
    )


def publish(publisher, kind, *, camera=None, payload=None, **fields):
    """Publish the example of this kind with some fields changed; returns its header."""
    detail = {"event": example(kind).kind} if kind == "event" else {}
    header = msgspec.structs.replace(
        example(kind), **publisher.stamp(kind, camera=camera, **detail), **fields
    )
    if payload is None:
        publisher.publish(header)
    else:
        publisher.publish_heatmap(header, payload)
    return header


def publish_status(publisher, **fields):
    """Publish a status that tells the truth about the streams."""
    return publish(publisher, "status", **{"last_seq": publisher.last_seq, **fields})


def refuse_triggers(request):
    raise AssertionError(f"no trigger was asked for: {request}")


def await_subscriptions(publisher, count):
    """Serve until `count` subscriptions have arrived; what is published from then on reaches them."""
    poller = zmq.Poller()
    for socket in publisher.poll_sockets():
        poller.register(socket, zmq.POLLIN)
    while publisher.subscriptions < count:
        assert poller.poll(10_000), "nobody subscribed in 10 s"
        publisher.serve(refuse_triggers)
