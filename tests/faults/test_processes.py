"""A stage dies or hangs under load: one result per trigger, the right reason, ready again by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.messages import Reason
from support.lines import folder_camera, make_config, paint_parts, running
from support.outage import go_through

SILENCE_MS = 400
NOTICED_S = {signal.SIGKILL: 0.5, signal.SIGSTOP: SILENCE_MS / 1e3 + 0.7}
READY_S = 5.0
FAULTS = {
    "capture killed": ("capture-cam1", signal.SIGKILL, {Reason.CAMERA_LOST}),
    # While it hangs the camera owes a frame: the triggers after that one come while it is busy.
    "capture hangs": ("capture-cam1", signal.SIGSTOP, {Reason.NO_FRAME, Reason.CAMERA_LOST}),
    "inspection killed": ("inspection", signal.SIGKILL, {Reason.ENGINE_ERROR}),
    # While it hangs the ring fills up.
    "inspection hangs": ("inspection", signal.SIGSTOP, {Reason.LATE, Reason.ENGINE_ERROR, Reason.OVERRUN}),
}


@pytest.mark.parametrize(("process", "number", "reasons"), FAULTS.values(), ids=FAULTS.keys())
def test_a_stage_that_goes_is_replaced(
    tmp_path: Path,
    process: str,
    number: signal.Signals,
    reasons: set[Reason],
    record_property: Callable[[str, object], None],
) -> None:
    parts = paint_parts(tmp_path / "parts", 10, defect_every=99)
    camera = folder_camera(parts, loop=True, trigger={"source": "software", "period_ms": 20})
    config = make_config(tmp_path, [camera], deadline_ms=500, child_silence_ms=SILENCE_MS)
    gone: list[int] = []

    with running(config) as line:

        def begin() -> None:
            gone.append(line.station.process_ids[process])
            os.kill(gone[0], number)

        outage = go_through(line, begin=begin)
        assert line.station.process_ids[process] != gone[0]
        report = line.account()
    record_property("noticed_s", outage.noticed_s)
    record_property("ready_s", outage.ready_s)
    assert outage.noticed_s < NOTICED_S[number]
    assert outage.ready_s < READY_S
    found = {Reason(r.reason_code) for r in line.results if r.disposition == "reject"}
    assert Reason.OK not in outage.reasons
    assert found & reasons
    assert found <= {*reasons, Reason.TRIGGER_WHILE_BUSY}  # a machine that pauses for a period
    assert report.restarts == 1
