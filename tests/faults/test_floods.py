"""Hostile clients against a publisher: what it must do goes on in time, and its memory stays flat."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from pipeline.access.key_maker import allow_key, make_keys
from pipeline.access.keys import load_station_keys
from pipeline.access.limits import SUBSCRIPTIONS_IN_ALL
from pipeline.requests import HelloReply, decode_reply
from pipeline.socket_config import SecurityConfig
from support.messages import anywhere, open_publisher, publish_status, refuse_triggers

FLOOD_S = 1.0
GROWTH_MB = 60
TURN_MS = 50
"""Shared machines stop a process for longer than our turns last; a flood that has its way takes seconds."""


@contextlib.contextmanager
def flooding(kind, endpoint, *more):
    path = os.pathsep.join([str(Path(__file__).parents[1] / "lib"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "support.floods", kind, endpoint.rpartition(":")[2], *more]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as process:
        try:
            yield process
        finally:
            process.kill()


def memory_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Turns:
    """The station's loop in short; notes how long a turn's work took, without the waiting."""

    def __init__(self, publisher):
        self.publisher = publisher
        self.poller = zmq.Poller()
        for polled in publisher.poll_sockets():
            self.poller.register(polled, zmq.POLLIN)
        self.took_ms = []
        self.served = 0

    def turn(self):
        self.publisher.watch_connections(self.poller)
        ready = self.poller.poll(10)
        begin_s = time.perf_counter()
        if ready:
            self.served += self.publisher.serve(refuse_triggers)
        publish_status(self.publisher)
        self.took_ms.append((time.perf_counter() - begin_s) * 1000)

    def until(self, condition, what):
        end_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end_s, what
            self.turn()

    def p99_ms(self):
        return sorted(self.took_ms)[len(self.took_ms) * 99 // 100]


def endure(publisher, kind, endpoint, refused, *more):
    """Let a client flood an address until it is refused, then for a while; a request is answered then."""
    turns = Turns(publisher)
    with flooding(kind, endpoint, *more), zmq.Context() as context, context.socket(zmq.REQ) as plc:
        plc.linger = 0
        turns.until(lambda: publisher.refusals.counts[refused], "the flood was not refused")
        before_mb, end_s = memory_mb(), time.monotonic() + FLOOD_S
        turns.until(lambda: time.monotonic() > end_s, "the flood never ends")
        plc.connect(publisher.replay_endpoint)
        plc.send(b'{"op":"hello"}')
        turns.until(lambda: plc.poll(0), "no answer under the flood")
        assert isinstance(decode_reply(plc.recv()), HelloReply)
        print(
            f"{kind}: {dict(publisher.refusals.counts)}, served {turns.served}; p99 {turns.p99_ms():.2f} ms, "
            f"max {max(turns.took_ms):.1f} ms, {memory_mb() - before_mb:+.1f} MB"
        )
        assert memory_mb() - before_mb < GROWTH_MB
        assert turns.p99_ms() < TURN_MS


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("requests", "requests"), ("endless", "connections"), ("connections", "connections")],
)
def test_a_flood_is_refused_and_the_station_goes_on(kind, refused):
    with open_publisher() as publisher:
        endure(publisher, kind, publisher.replay_endpoint, refused)


def test_a_known_client_that_subscribes_without_end_is_kept_out(tmp_path):
    for name in ("station", "plc1"):
        make_keys(tmp_path, name)
    allow_key(tmp_path, tmp_path / "plc1.key", name="plc1")
    keys = load_station_keys(SecurityConfig(keys_dir=str(tmp_path)))
    with open_publisher(anywhere(results="tcp://0.0.0.0:*"), keys=keys) as publisher:
        endure(publisher, "subscriptions", publisher.results_endpoint, "connections", str(tmp_path))
        assert publisher.subscriptions < 2 * SUBSCRIPTIONS_IN_ALL
