"""A camera is lost or loses packets: real GigE Vision over UDP, through a cable that can be pulled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pipeline.messages import Reason, ResultHeader
from support.cable import CAMERA, Cable, cable
from support.fake_gv_camera import FakeGvCamera, missing_aravis
from support.lines import Line, make_config, running
from support.outage import go_through
from support.plc import plc_at

if TYPE_CHECKING:
    from typing_extensions import Self

NOTICED_S = 1.5
"""The watchdog's second, and what two busy cores may add."""
READY_S = 15.0
SHORT_S = 0.4
"""Shorter than the watchdog's limit, and than Aravis waits before it sends a command again."""
SERIAL = "A1"


class Rig:
    """A camera at the end of a cable."""

    def __init__(self, line: Cable, *, lost: float = 0.0) -> None:
        self.cable = line
        self._lost = lost
        self.start()

    def start(self) -> None:
        """Switch it on, again."""
        with self.cable.far_end():
            self.camera = FakeGvCamera(SERIAL, address=CAMERA, lost=self._lost)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.camera.kill()


@pytest.fixture
def plugged() -> Iterator[Cable]:
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    with cable() as made:
        yield made


def _camera(trigger: dict[str, Any], **changes: Any) -> dict[str, Any]:
    camera = {
        "kind": "aravis",
        "name": "cam1",
        "width_px": 64,
        "height_px": 64,
        "pixel_format": "Mono8",
        "address": CAMERA,
        "packet_size_bytes": 8_000,
        "trigger_line": "Line0",
        "trigger": trigger,
    }
    return camera | changes


class Fault(NamedTuple):
    """How a camera goes, for how long, and how it comes back."""

    begin: Callable[[Rig], object]
    seconds: float
    end: Callable[[Rig], object]


FAULTS = {
    "killed": Fault(lambda rig: rig.camera.kill(), 1.5, Rig.start),
    "frozen": Fault(lambda rig: rig.camera.freeze(), 1.5, lambda rig: rig.camera.thaw()),
    "cable out 1 s": Fault(lambda rig: rig.cable.pull(), 1.0, lambda rig: rig.cable.plug_in()),
    "cable out 10 s": Fault(lambda rig: rig.cable.pull(), 10.0, lambda rig: rig.cable.plug_in()),
}
# Until the loss is known the camera owes a frame: that one is missed, those after it find it busy.
UNNOTICED = {Reason.NO_FRAME, Reason.TRIGGER_WHILE_BUSY}


@pytest.mark.parametrize("name", [*list(FAULTS)[:-1], pytest.param("cable out 10 s", marks=pytest.mark.slow)])
def test_a_camera_that_goes_is_noticed_and_taken_back(
    tmp_path: Path, plugged: Cable, name: str, record_property: Callable[[str, object], None]
) -> None:
    fault = FAULTS[name]
    config = make_config(tmp_path, [_camera({"source": "software", "period_ms": 40})], deadline_ms=500)
    with Rig(plugged) as rig, running(config) as line:
        outage = go_through(
            line, begin=lambda: fault.begin(rig), end=lambda: fault.end(rig), seconds=fault.seconds
        )
        line.account()
    record_property("noticed_s", outage.noticed_s)
    record_property("ready_s", outage.ready_s)
    assert outage.noticed_s < NOTICED_S
    assert outage.ready_s < READY_S
    assert outage.reasons <= {Reason.CAMERA_LOST, *UNNOTICED}
    assert Reason.CAMERA_LOST in outage.reasons
    assert "has not answered within 0.7 s" in _first_error(line)


def test_a_camera_that_a_dead_capture_process_still_holds_is_taken_back(
    tmp_path: Path, plugged: Cable, record_property: Callable[[str, object], None]
) -> None:
    """The device keeps to its controller until that one's heartbeats are missed for 3 s."""
    config = make_config(tmp_path, [_camera({"source": "software", "period_ms": 40})], deadline_ms=500)
    with Rig(plugged), running(config) as line:
        outage = go_through(line, begin=lambda: os.kill(_capture(line), signal.SIGKILL))
        line.account()
    record_property("noticed_s", outage.noticed_s)
    record_property("ready_s", outage.ready_s)
    assert outage.noticed_s < NOTICED_S
    assert outage.ready_s < READY_S
    rejected = {Reason(r.reason_code) for r in line.results if r.disposition == "reject"}
    assert Reason.CAMERA_LOST in rejected
    assert rejected <= {Reason.CAMERA_LOST, Reason.TRIGGER_WHILE_BUSY}  # a new camera takes its time at first


def test_a_trigger_that_the_camera_obeys_late_is_no_accept(tmp_path: Path, plugged: Cable) -> None:
    """The camera answers nothing for less than the watchdog allows, then does what it was told before.

    The deadline is far off, so that it is not what saves the part.
    """
    config = make_config(tmp_path, [_camera({"source": "software", "period_ms": 40})], deadline_ms=5_000)
    with Rig(plugged) as rig, running(config) as line:
        line.wait_for(lambda: len(line.results) > 5, "results")
        rig.camera.freeze()
        line.listen_for(SHORT_S)
        rig.camera.thaw()
        line.wait_for(lambda: Reason.INCOMPLETE_FRAME in _reasons(line), "the late part")
        seen = len(line.results)
        line.wait_for(lambda: Reason.OK in {Reason(r.reason_code) for r in line.results[seen:]}, "an accept")
        report = line.account()
    accepted = [result for result in line.results if result.disposition == "accept"]
    assert max(_exposed_after_s(result) for result in accepted) < SHORT_S / 2
    assert report.restarts == 0


def test_announced_parts_of_a_lost_camera_are_rejected(tmp_path: Path, plugged: Cable) -> None:
    """No frame is no news to a camera that waits for its line: the device itself is asked."""
    trigger = {"source": "line", "announce_window_ms": 400}
    with Rig(plugged) as rig, running(make_config(tmp_path, [_camera(trigger)])) as line:
        line.wait_for(lambda: bool(line.statuses) and line.statuses[-1].ready, "ready")
        with plc_at(line.station.endpoints["replay"]) as ask:
            rig.camera.kill()
            assert ask(1).taken
            line.wait_for(lambda: bool(line.results), "the part before the loss was known")
            line.wait_for(lambda: not line.statuses[-1].ready, "not ready")
            assert ask(2).taken
            line.wait_for(lambda: len(line.results) == 2, "the part after")
        rig.start()
        line.wait_for(lambda: line.statuses[-1].ready, "ready again")
        line.account()
    assert [Reason(r.reason_code) for r in line.results] == [Reason.NO_FRAME, Reason.CAMERA_LOST]


@pytest.mark.parametrize("lost", [0.01, 0.05])
def test_frames_that_lose_packets_are_rejected_and_the_line_goes_on(
    tmp_path: Path, plugged: Cable, lost: float
) -> None:
    """The camera itself leaves packets out, of 20 a frame: what comes through is whole."""
    packets = {"packet_size_bytes": 256, "packet_resend": "never", "frame_retention_ms": 10.0}
    camera = _camera({"source": "software", "period_ms": 25}, **packets)
    with Rig(plugged, lost=lost), running(make_config(tmp_path, [camera])) as line:
        line.wait_for(lambda: len(line.results) >= 100, "100 results")
        report = line.account()
    reasons = [Reason(result.reason_code) for result in line.results]
    assert _reasons(line) <= {Reason.OK, Reason.INCOMPLETE_FRAME, Reason.NO_FRAME, Reason.TRIGGER_WHILE_BUSY}
    assert reasons.count(Reason.OK) > 10
    assert Reason.INCOMPLETE_FRAME in reasons
    assert all(r.frame is not None and r.frame.complete for r in line.results if r.disposition == "accept")
    assert report.restarts == 0


def _reasons(line: Line) -> set[Reason]:
    return {Reason(result.reason_code) for result in line.results}


def _exposed_after_s(result: ResultHeader) -> float:
    """How long after its trigger the camera made the frame; its clock is this machine's wall clock."""
    assert result.frame is not None
    wall_ns = time.time_ns() - time.monotonic_ns()
    return (int(result.frame.camera_timestamp) - wall_ns - int(result.t.trigger)) / 1e9


def _capture(line: Line) -> int:
    return line.station.process_ids["capture-cam1"]


def _first_error(line: Line) -> str:
    return next(event.text for event in line.events if event.severity == "error")
