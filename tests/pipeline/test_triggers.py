"""Triggers of every kind on a running station: encoder, announced parts, parts of several cameras."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.camera_line import CameraLine
from pipeline.config import parse_config
from pipeline.messages import PartHeader, Reason
from support.frames import make_header
from support.lines import folder_camera, make_config, make_raw_config, paint_parts, running
from support.plc import plc_at


def test_encoder_counts_travel_to_the_result(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 4)
    camera = folder_camera(parts, trigger={"source": "encoder", "encoder_counts": 512})
    with running(make_config(tmp_path, [camera])) as line:
        line.finish()
    assert [r.frame.encoder_count for r in line.results if r.frame] == [0, 512, 1024, 1536]
    assert {r.trigger_source for r in line.results} == {"line"}


def test_an_announced_part_gets_the_next_frame_of_the_line(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 200, defect_every=999)
    trigger = {"source": "line", "announce_window_ms": 2_000}
    with running(make_config(tmp_path, [folder_camera(parts, rate_hz=5, trigger=trigger)])) as line:
        line.wait_for(lambda: bool(line.results), "a frame that nobody announced")
        with plc_at(line.station.endpoints["replay"]) as ask:
            assert ask(1000, part_id="A", job_id="J").taken
            assert ask(1001, part_id="B").taken  # while A's frame is awaited
        line.wait_for(lambda: len([r for r in line.results if r.part_id]) == 2, "both parts")
        line.wait_for(lambda: line.results[-1].part_id is None, "the line goes on")
        line.station.stop()
        line.finish()
    by_part = {r.part_id: r for r in line.results if r.part_id}
    assert Reason(by_part["B"].reason_code) is Reason.TRIGGER_WHILE_BUSY
    announced = by_part["A"]
    assert (announced.disposition, announced.trigger_source, announced.job_id) == ("accept", "plc", "J")
    assert announced.trigger_id == 1000
    ids = [r.frame.id for r in line.results if r.frame]
    assert ids == list(range(len(ids)))
    assert {r.trigger_source for r in line.results if r.part_id is None} == {"line"}


def test_an_announced_part_without_a_frame_is_rejected_when_its_window_is_over(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 5)
    trigger = {"source": "line", "announce_window_ms": 60}
    with running(make_config(tmp_path, [folder_camera(parts, rate_hz=0.05, trigger=trigger)])) as line:
        line.wait_for(lambda: bool(line.results), "the first part")
        with plc_at(line.station.endpoints["replay"]) as ask:
            assert ask(50, part_id="A").taken
        line.wait_for(lambda: len(line.results) == 2, "its reject")
        line.station.stop()
        line.finish()
    reject = line.results[1]
    assert (reject.part_id, Reason(reject.reason_code)) == ("A", Reason.NO_FRAME)
    assert reject.latency_us < 2_000_000  # long before the deadline of 5 s


@pytest.mark.parametrize("defective", [None, "top", "side"])
def test_a_part_of_two_cameras_has_one_disposition(tmp_path: Path, defective: str | None) -> None:
    cameras = [
        folder_camera(
            paint_parts(tmp_path / name, 3, defect_every=1 if name == defective else 99),
            name,
            trigger={"source": "software"},
        )
        for name in ("top", "side")
    ]
    raw = make_raw_config(tmp_path, cameras) | {"parts": {"cameras": ["top", "side"]}}
    with running(parse_config(raw, origin="test"), stop_after=4) as line:
        line.wait_for(lambda: any(s.ready for s in line.statuses), "ready")
        with plc_at(line.station.endpoints["replay"]) as ask:
            for number in (1, 2):
                assert ask(number, part_id=f"P{number}").taken
                line.wait_for(lambda n=number: len(line.headers(PartHeader)) == n, "the part")  # type: ignore[misc]
        line.finish()
    parts = line.headers(PartHeader)
    assert [(p.part_id, p.seq) for p in parts] == [("P1", 1), ("P2", 2)]
    by_id = {r.result_id: r for r in line.results}
    for part in parts:
        assert [member.camera for member in part.members] == ["top", "side"]
        results = [by_id[member.result_id] for member in part.members]
        assert [r.disposition for r in results] == [m.disposition for m in part.members]
        assert {(r.part_id, r.trigger_id) for r in results} == {(part.part_id, part.trigger_id)}
        assert part.disposition == ("accept" if defective is None else "reject")
        assert part.on_time
        if defective is not None:
            assert part.reason_code == Reason.ANOMALY
            assert part.reason.startswith(f"camera {defective}: ")


def test_a_part_of_which_one_camera_cannot_say_anything_is_rejected(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 9, defect_every=99)
    cameras = [folder_camera(parts, name, trigger={"source": "software"}) for name in ("top", "side")]
    raw = make_raw_config(tmp_path, cameras) | {"parts": {"cameras": ["top", "side"]}}
    with running(parse_config(raw, origin="test")) as line:
        line.wait_for(lambda: any(s.ready for s in line.statuses), "ready")
        with plc_at(line.station.endpoints["replay"]) as ask:
            assert ask(1).taken
            line.wait_for(lambda: len(line.headers(PartHeader)) == 1, "the first part")
            assert ask(1).taken  # the same id again, on both cameras
            line.wait_for(lambda: len(line.headers(PartHeader)) == 2, "the second part")
        line.station.stop()
        line.finish()
    assert [p.disposition for p in line.headers(PartHeader)] == ["accept", "reject"]
    assert line.headers(PartHeader)[1].reason_code == Reason.DUPLICATE_TRIGGER


def test_the_stub_engine_of_measurements_accepts_nothing(tmp_path: Path) -> None:
    from pipeline.station import Station

    parts = paint_parts(tmp_path / "parts", 5, defect_every=99)
    station = Station(make_config(tmp_path, [folder_camera(parts)]), stub_engine_ms=2.0)
    report = station.run()
    assert report.triggers == 5
    assert station.counts == (5, 0, 5)
    inference = next(row for row in report.latencies if row.stage == "inference")
    assert inference.p50_us >= 2_000


@pytest.mark.parametrize(
    ("frames", "triggers", "missed"),
    [((0, 1), (1, 2), 0), ((0, 3), (1, 4), 2), ((0, 1), (1, 4), 2), ((0, 4), (None, None), 3)],
)
def test_parts_without_a_frame_are_counted_from_either_counter(
    tmp_path: Path, frames: tuple[int, int], triggers: tuple[int | None, int | None], missed: int
) -> None:
    config = make_config(tmp_path, [folder_camera(tmp_path)])
    line = CameraLine(config.cameras[0], SimpleNamespace(slots=3), None)  # type: ignore[arg-type]
    headers = [
        make_header(frame_id=frame, trigger_count=count)
        for frame, count in zip(frames, triggers, strict=True)
    ]
    assert [line.missed_before(header) for header in headers] == [0, missed]


def test_a_clock_that_drifts_is_said_once_and_again_after_it_was_well(tmp_path: Path) -> None:
    config = make_config(tmp_path, [folder_camera(tmp_path)])
    line = CameraLine(config.cameras[0], SimpleNamespace(slots=3), None)  # type: ignore[arg-type]
    drifts = [None, 20.0, 900.0, 900.0, None, -900.0, 20.0, -900.0]
    alarms = [line.clock_alarm(make_header(clock_drift_ppm=drift)) for drift in drifts]
    assert [alarm is not None for alarm in alarms] == [False, False, True, False, False, False, False, True]
    assert "drift apart by 900 ppm" in str(alarms[2])
