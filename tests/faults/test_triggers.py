"""Triggers that cannot be, and frames that are not whole: on Basler's emulator."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipeline.child import Child
from pipeline.messages import Reason
from support.lines import Line, make_config, paint_parts, running
from support.plc import ask_at_once, plc_at

BURST = 20
LIBRARY = Path(__file__).parents[1] / "lib"


@pytest.fixture
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line with Basler's emulator, which takes 20 ms for a frame, triggered from outside."""
    if find_spec("pypylon") is None:
        pytest.skip("NO PYLON: pypylon is not installed")
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr("pipeline.resources.Child", _emulated_child)
    parts = paint_parts(tmp_path / "parts", 4, defect_every=99)
    camera = {
        "kind": "pylon",
        "name": "cam1",
        "width_px": 64,
        "height_px": 64,
        "pixel_format": "Mono8",
        "exposure_us": 20_000,
        "trigger": {"source": "software"},
        "features": {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": str(parts)},
    }
    with running(make_config(tmp_path, [camera])) as line:
        line.wait_for(lambda: bool(line.statuses) and line.statuses[-1].ready, "ready")
        yield line


def _emulated_child(name: str, module: str, **options: Any) -> Child:
    return Child(name, module.replace("pipeline.capture", "support.emulated_capture"), **options)


def _inspect(line: Line, trigger_id: int) -> Reason:
    """Ask for one part and wait for its result."""
    before = len(line.results)
    with plc_at(line.station.endpoints["replay"]) as ask:
        assert ask(trigger_id).taken
    line.wait_for(lambda: len(line.results) > before, f"the result of trigger {trigger_id}")
    assert line.results[-1].trigger_id == trigger_id
    return Reason(line.results[-1].reason_code)


def test_an_incomplete_frame_is_a_reject_and_the_next_part_has_its_own_frame(emulated: Line) -> None:
    assert _inspect(emulated, 1) is Reason.OK
    os.kill(emulated.station.process_ids["capture-cam1"], signal.SIGUSR1)
    assert _inspect(emulated, 2) is Reason.INCOMPLETE_FRAME
    assert _inspect(emulated, 3) is Reason.OK
    report = emulated.account()
    frames = [r.frame for r in emulated.results if r.frame is not None]
    assert [(frame.id, frame.complete) for frame in frames] == [(0, True), (1, False), (2, True)]
    assert [frame.trigger_counter for frame in frames] == [1, 2, 3]
    assert report.restarts == 0


def test_triggers_faster_than_the_camera_are_each_rejected(emulated: Line) -> None:
    """The camera is asked for one frame at a time: it would drop the others without a trace."""
    replies = ask_at_once(emulated.station.endpoints["replay"], range(BURST))
    assert all(reply.taken for reply in replies)
    emulated.wait_for(lambda: len(emulated.results) == BURST, "a result for each")
    assert _inspect(emulated, BURST) is Reason.OK
    report = emulated.account()
    assert sorted(r.trigger_id for r in emulated.results) == list(range(BURST + 1))
    reasons = [Reason(r.reason_code) for r in emulated.results]
    assert set(reasons) == {Reason.OK, Reason.TRIGGER_WHILE_BUSY}
    assert reasons.count(Reason.OK) < BURST / 2
    frames = [r.frame for r in emulated.results if r.frame is not None]
    assert [frame.trigger_counter for frame in frames] == list(range(1, len(frames) + 1))
    assert report.restarts == 0


def test_a_trigger_id_that_comes_again_is_rejected_and_the_first_one_stands(emulated: Line) -> None:
    assert _inspect(emulated, 7) is Reason.OK
    assert _inspect(emulated, 7) is Reason.DUPLICATE_TRIGGER
    assert _inspect(emulated, 8) is Reason.OK
    emulated.account()
    again = emulated.results[1]
    assert (again.disposition, again.frame, again.score) == ("reject", None, None)
    assert [r.frame.trigger_counter for r in emulated.results if r.frame] == [1, 2]
