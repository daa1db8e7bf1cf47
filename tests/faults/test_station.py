"""The station itself is killed or stopped under load, or the machine's clock is set back."""

from __future__ import annotations

import itertools
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from pipeline.audit import Audit
from pipeline.history.journal_files import journal_files, read_journal
from pipeline.messages import Reason, ResultHeader
from support.lines import folder_camera, make_raw_config, paint_parts
from support.listener import Listener
from support.plc import plc_at
from support.station_process import StationProcess, write_config
from support.wall_clock import WallClock

DEADLINE_MS = 500
HOUR_S = 3_600
EXPECTED = {Reason.OK, Reason.TRIGGER_WHILE_BUSY}
"""Of a line under load on a machine that may pause for a period."""


def _loaded_config(root: Path, *, period_ms: float | None) -> Path:
    """One camera that takes a part every `period_ms`, or when a PLC asks."""
    trigger = {"source": "software"} | ({} if period_ms is None else {"period_ms": period_ms})
    parts = paint_parts(root / "parts", 10, defect_every=99)
    camera = folder_camera(parts, loop=True, trigger=trigger)
    return write_config(root, make_raw_config(root, [camera], deadline_ms=DEADLINE_MS))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with Listener(f"ipc://{tmp_path}/results") as made:
        yield made


def _journals(root: Path) -> dict[str, list[ResultHeader]]:
    """Results on record, by epoch."""
    directory = root / "journal"
    epochs = [file.epoch for file in journal_files(directory)]
    return {epoch: list(read_journal(directory, epoch=epoch)) for epoch in epochs}


def test_a_station_that_was_killed_starts_again(tmp_path: Path, listener: Listener) -> None:
    """The kernel takes its children along, whatever state they are in; what was published is on record."""
    config = _loaded_config(tmp_path, period_ms=10)
    with StationProcess(config) as station:
        watched = [os.pidfd_open(pid) for pid in station.children]
        assert len(watched) == 3
        listener.wait_for(lambda: len(listener.results) > 30, "results")
        station.kill()
    for fd in watched:
        assert select.select([fd], [], [], 10)[0], "a child outlives its station"
        os.close(fd)
    listener.listen_for(0.2)
    [first] = _journals(tmp_path)
    with StationProcess(config) as station:
        listener.wait_for(lambda: listener.results[-1].epoch != first, "results of the second start")
        station.terminate()
        code, out = station.finish()
    assert (code, "audit failed" in out) == (0, False)
    journals = _journals(tmp_path)
    assert len(journals) == 2
    assert Audit.from_results(journals[first]).repeated == []
    heard = {epoch: [r for r in listener.results if r.epoch == epoch] for epoch in journals}
    assert all(result in journals[first] for result in heard[first])
    second = journals[next(epoch for epoch in journals if epoch != first)]
    assert Audit.from_results(second).failures() == []
    assert _reasons(heard[first]) <= EXPECTED


def test_sigterm_under_load_answers_every_trigger_that_was_taken(tmp_path: Path, listener: Listener) -> None:
    config = _loaded_config(tmp_path, period_ms=None)
    taken: list[int] = []

    def ask_on() -> None:
        with plc_at(f"ipc://{tmp_path}/replay") as ask:
            for trigger_id in itertools.count():
                try:
                    if not ask(trigger_id).taken:
                        return
                except zmq.Again:
                    return  # it ended between the request and its answer
                taken.append(trigger_id)

    with StationProcess(config) as station:
        listener.wait_for(lambda: bool(listener.statuses), "the station")
        asking = threading.Thread(target=ask_on)
        asking.start()
        listener.wait_for(lambda: len(listener.results) > 50, "results")
        station.terminate()
        listener.wait_for(lambda: listener.statuses[-1].state == "Halted", "the last words")
        code, out = station.finish()
        asking.join()
    assert (code, "audit failed" in out) == (0, False)
    assert "Traceback" not in station.errors
    [recorded] = _journals(tmp_path).values()
    assert recorded == listener.results
    assert Audit.from_results(recorded).failures(opened=len(taken)) == []
    assert sorted(result.trigger_id for result in recorded) == taken
    assert any(result.disposition == "accept" for result in recorded)


def test_a_clock_that_is_set_back_changes_no_result(tmp_path: Path, listener: Listener) -> None:
    """By an hour, for the station and all its children, as far as they ask the C library for the time."""
    config, clock = _loaded_config(tmp_path, period_ms=20), WallClock(tmp_path)
    with StationProcess(config, env=clock.env) as station:
        listener.wait_for(lambda: len(listener.results) > 20, "results")
        clock.set(ahead_s=-HOUR_S)
        listener.wait_for(lambda: _set_back(listener.results), "the other time")
        before = len(listener.results)
        listener.wait_for(lambda: len(listener.results) > before + 100, "results after it")
        assert all(status.ready for status in listener.statuses if status.state == "ContinuousExecution")
        station.terminate()
        listener.wait_for(lambda: listener.statuses[-1].state == "Halted", "the last words")
        code, out = station.finish()
    assert (code, "audit failed" in out) == (0, False)
    [recorded] = _journals(tmp_path).values()
    assert recorded == listener.results
    assert Audit.from_results(recorded).failures() == []
    assert _reasons(recorded) <= EXPECTED
    assert Reason.OK in _reasons(recorded[before:])
    assert all(result.on_time and result.latency_us < DEADLINE_MS * 1e3 for result in recorded)
    in_order = sorted(recorded, key=lambda result: result.trigger_id)
    triggered = [int(result.t.trigger) for result in in_order]
    assert triggered == sorted(triggered)
    assert not [event for event in listener.events if event.severity == "error"]


def _reasons(results: list[ResultHeader]) -> set[Reason]:
    return {Reason(result.reason_code) for result in results}


def _set_back(results: list[ResultHeader]) -> bool:
    published_s = [int(result.published_ns) / 1e9 for result in results]
    return any(later < earlier - HOUR_S / 2 for earlier, later in itertools.pairwise(published_s))
