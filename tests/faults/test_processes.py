"""A stage dies or hangs under load: one result per trigger, the right reason, ready again by itself."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.audit import Audit
from pipeline.journal import read_journal
from pipeline.messages import Reason
from support.lines import Line, folder_camera, make_config, make_raw_config, paint_parts, running

FAULTS = [
    ("capture-cam1", signal.SIGKILL, {Reason.CAMERA_LOST}),
    # While it hangs the camera owes a frame: the triggers after that one come while it is busy.
    ("capture-cam1", signal.SIGSTOP, {Reason.NO_FRAME, Reason.CAMERA_LOST, Reason.TRIGGER_WHILE_BUSY}),
    ("inspection", signal.SIGKILL, {Reason.ENGINE_ERROR}),
    # While it hangs the ring fills up.
    ("inspection", signal.SIGSTOP, {Reason.LATE, Reason.ENGINE_ERROR, Reason.OVERRUN}),
]


def ready_again(line: Line, results_before: int) -> bool:
    later = line.results[results_before:]
    return line.statuses[-1].ready and len(later) > 3 and all(r.disposition == "accept" for r in later[-3:])


@pytest.mark.parametrize(("process", "number", "reasons"), FAULTS)
def test_a_stage_that_goes_is_replaced(
    tmp_path: Path, process: str, number: signal.Signals, reasons: set[Reason]
) -> None:
    parts = paint_parts(tmp_path / "parts", 10, defect_every=99)
    camera = folder_camera(parts, loop=True, trigger={"source": "software", "period_ms": 20})
    config = make_config(tmp_path, [camera], deadline_ms=500, child_silence_ms=400)
    with running(config) as line:
        line.wait_for(lambda: len(line.results) >= 5, "the first results")
        pid = line.station.process_ids[process]
        os.kill(pid, number)
        line.wait_for(lambda: any(event.severity == "error" for event in line.events), "the fault event")
        line.wait_for(lambda: not line.statuses[-1].ready or bool(line.statuses[-1].fault), "not ready")
        before = len(line.results)
        line.wait_for(lambda: ready_again(line, before), "ready again")
        assert line.station.process_ids[process] != pid
        line.station.stop()
        report = line.finish()
    found = {Reason(r.reason_code) for r in line.results if r.disposition == "reject"}
    assert found <= reasons
    assert found
    assert report.restarts == 1
    recorded = list(read_journal(report.journal))
    assert recorded == line.results
    assert Audit.from_results(recorded).failures(opened=report.triggers) == []
    assert line.statuses[-1].fault is None


def test_a_killed_station_takes_its_children_along(tmp_path: Path) -> None:
    """The kernel does it, whatever state they are in."""
    parts = paint_parts(tmp_path / "parts", 10)
    raw = make_raw_config(tmp_path, [folder_camera(parts, loop=True)])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "tools.cli", "run", str(tmp_path / "config.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as station:
        assert station.stderr is not None
        for text in station.stderr:
            if text.startswith("ready"):
                break
        listing = Path(f"/proc/{station.pid}/task/{station.pid}/children").read_text()
        children = [int(pid) for pid in listing.split()]
        assert len(children) == 3
        watched = [os.pidfd_open(pid) for pid in children]
        station.send_signal(signal.SIGKILL)
    for fd in watched:
        assert select.select([fd], [], [], 10)[0], "a child outlives its station"
        os.close(fd)
