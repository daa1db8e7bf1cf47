"""The server of an RTSP stream dies or hangs while nobody asks for a part: it is noticed all the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.messages import Reason
from pipeline.requests import TriggerReply
from support.lines import Line, make_config, running
from support.plc import plc_at
from support.rtsp import RtspServer, missing_packages
from support.tiny_model import make_model

WIDTH, HEIGHT = 96, 80
READ_TIMEOUT_MS = 600
NOTICED_S = {"killed": 1.0, "frozen": 1.0 + READ_TIMEOUT_MS / 1e3}
READY_S = 10.0
LENIENT = 1_000.0
"""A threshold under which every picture is a good part."""


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_stream_that_stops_between_two_triggers_is_noticed_and_opened_again(
    tmp_path: Path, fault: str, record_property: Callable[[str, object], None]
) -> None:
    _skip_without_stack()
    make_model(tmp_path / "model", height_px=HEIGHT, width_px=WIDTH, threshold=LENIENT)
    with RtspServer() as server, running(make_config(tmp_path, [_camera(server)])) as line:
        line.wait_for(lambda: bool(line.statuses) and line.statuses[-1].ready, "ready")
        with plc_at(line.station.endpoints["replay"]) as ask:
            assert _inspect(line, ask(1)) is Reason.OK
            (server.kill if fault == "killed" else server.freeze)()
            noticed_s = _timed(line, lambda: any(e.severity == "error" for e in line.events))
            line.wait_for(lambda: not line.statuses[-1].ready, "not ready")
            assert _inspect(line, ask(2)) is Reason.CAMERA_LOST
            again = RtspServer("--port", str(server.port)) if fault == "killed" else server
            with again:
                again.thaw()
                ready_s = _timed(line, lambda: line.statuses[-1].ready)
                assert _inspect(line, ask(3)) is Reason.OK
                line.account()
    record_property("noticed_s", noticed_s)
    record_property("ready_s", ready_s)
    assert noticed_s < NOTICED_S[fault]
    assert ready_s < READY_S
    assert len(line.results) == 3


def _skip_without_stack() -> None:
    missing = missing_packages() if find_spec("av") else "NO VIDEO: pip install 'hlgfa-line[video]'"
    if missing is not None:
        pytest.skip(missing)


def _camera(server: RtspServer) -> dict[str, object]:
    return {
        "kind": "video",
        "name": "cam1",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "url": server.url,
        "read_timeout_ms": READ_TIMEOUT_MS,
        "trigger": {"source": "software"},
    }


def _timed(line: Line, condition: Callable[[], bool]) -> float:
    """How long the line took, in seconds."""
    begin = time.monotonic()
    line.wait_for(condition, "what was waited for")
    return time.monotonic() - begin


def _inspect(line: Line, reply: TriggerReply) -> Reason:
    """Wait for the result of a trigger that was taken."""
    assert reply.taken
    line.wait_for(lambda: line.results[-1:] != [] and line.results[-1].trigger_id == reply.trigger_id, "it")
    return Reason(line.results[-1].reason_code)
