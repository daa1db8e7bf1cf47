"""A subscriber that is slow, stops reading or is not there: neither the results nor their times change."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.audit import Audit
from pipeline.config import Config, parse_config
from pipeline.history.journal_files import read_journal
from pipeline.messages import ResultHeader
from pipeline.station import Station
from pipeline.stream_check import Gap
from support.lines import folder_camera, make_raw_config, paint_parts, running

DEADLINE_MS = 1_000
COMPARED = 100
# Its own queues are as short as can be, so that the station soon finds it full.
READER = """
import sys, time, zmq
with zmq.Context() as context, context.socket(zmq.SUB) as socket:
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    for endpoint in sys.argv[2:]:
        socket.connect(endpoint)
    socket.recv_multipart()
    print("heard", flush=True)
    while True:
        time.sleep(float(sys.argv[1]))
        socket.recv_multipart()
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    parts = paint_parts(tmp_path / "parts", 10, defect_every=99)
    camera = folder_camera(parts, loop=True, rate_hz=100, trigger={"source": "freerun"})
    raw = make_raw_config(tmp_path, [camera], deadline_ms=DEADLINE_MS, status_period_ms=50)
    raw["sockets"] = {name: f"ipc://{tmp_path}/{name}" for name in raw["sockets"]}
    raw["sockets"]["send_queue_messages"] = 50  # and not megabytes of the kernel's: it is soon full
    return parse_config(raw, origin="test")


@contextmanager
def _reader(*endpoints: str, pause_s: float) -> Iterator[subprocess.Popen[str]]:
    """A subscriber that has heard something; it rests between two messages."""
    command = [sys.executable, "-c", READER, str(pause_s), *endpoints]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "heard\n"
            yield reader
        finally:
            reader.kill()


def _median_us(results: list[ResultHeader]) -> float:
    return statistics.median(result.latency_us for result in results)


@pytest.mark.parametrize(("pause_s", "stopped"), [(0.2, False), (0.0, True)], ids=["slow", "stops reading"])
def test_a_subscriber_that_does_not_keep_up_is_alone_with_its_loss(
    config: Config, pause_s: float, *, stopped: bool, record_property: Callable[[str, object], None]
) -> None:
    with running(config) as line:
        line.wait_for(lambda: len(line.results) >= COMPARED, "results without it")
        alone_us = _median_us(line.results[-COMPARED:])
        endpoints = line.station.endpoints
        with _reader(endpoints["results"], endpoints["heatmaps"], pause_s=pause_s) as reader:
            if stopped:
                os.kill(reader.pid, signal.SIGSTOP)
            line.wait_for(lambda: line.statuses[-1].dropped > 0, "its queue is full")
            before = len(line.results)
            line.wait_for(lambda: len(line.results) >= before + COMPARED, "results beside it")
            beside_us = _median_us(line.results[-COMPARED:])
        report = line.account()
    record_property("alone_us", alone_us)
    record_property("beside_us", beside_us)
    assert report.dropped > 0
    assert not [notice for notice in line.notices if isinstance(notice, Gap)]
    assert {(result.disposition, result.reason) for result in line.results} == {("accept", "ok")}
    assert all(result.on_time for result in line.results)
    assert beside_us < 2 * alone_us + 2_000
    assert not [event for event in line.events if event.severity == "error"]


def test_a_station_that_nobody_listens_to_keeps_its_account(config: Config) -> None:
    station = Station(config, stop_after=COMPARED)
    report = station.run()
    recorded = list(read_journal(report.journal))
    assert Audit.from_results(recorded).failures(opened=report.triggers) == []
    assert [result.disposition for result in recorded] == ["accept"] * COMPARED
    assert all(result.on_time for result in recorded)
    assert report.dropped == 0
