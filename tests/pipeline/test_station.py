import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from PIL import Image

from calibration.record import FILE_NAME, save_calibration
from calibration.roi import FILE_NAME as ROI_NAME
from calibration.roi import Roi, inspected_area, save_roi
from engines.manifest import load_manifest
from pipeline import requests
from pipeline.access.key_maker import make_keys
from pipeline.access.keys import load_client_keys
from pipeline.attendance import StationError
from pipeline.audit import Audit
from pipeline.config import ConfigError, parse_config
from pipeline.history.journal_files import read_journal
from pipeline.messages import HeatmapHeader, Reason, StatsHeader
from pipeline.sockets import show_keys
from pipeline.station import Station
from support.lines import folder_camera, make_config, make_raw_config, paint_parts, running
from support.tiny_model import THRESHOLD, make_calibration, make_model


def test_every_part_gets_its_verdict_and_its_heatmap(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 20)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        report = line.finish()
    assert report.triggers == 20
    assert line.notices == []
    assert [result.seq for result in line.results] == list(range(1, 21))
    for number, result in enumerate(line.results):
        defect = number % 5 == 4
        assert result.frame is not None
        assert result.frame.source == f"part{number:04}.png"
        assert (result.disposition, result.verdict) == (("reject", "fail") if defect else ("accept", "pass"))
        assert (result.score, result.threshold) == (100.0 if defect else 0.0, THRESHOLD)
        assert [region.bbox_px for region in result.regions] == ([(8, 8, 8, 16)] if defect else [])
        assert result.simulated
    maps = {m.header.result_id: m for m in line.messages if isinstance(m.header, HeatmapHeader)}
    assert set(maps) == {result.result_id for result in line.results}
    worst = maps[line.results[4].result_id].anomaly_map()
    np.testing.assert_allclose(worst[1:3, 1], 100)
    assert np.count_nonzero(worst) == 2


def test_times_and_ids_travel_to_the_result(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 3)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        line.finish()
    for number, result in enumerate(line.results):
        t = result.t
        stages = [t.trigger, t.exposure, t.received, t.infer_start, t.infer_end, t.decided]
        times = [int(stage) for stage in stages if stage is not None]
        assert len(times) == 6
        assert times == sorted(times)
        assert int(result.deadline_ns) - times[0] == 5_000_000_000
        assert result.on_time
        assert result.latency_us >= (times[-1] - times[0]) // 1000
        assert result.frame is not None
        assert result.frame.id == number
        assert result.trigger_id == number + 1
        assert result.model is not None
        assert result.model.id == "model"


def test_the_journal_is_what_was_published(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 10)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        report = line.finish()
    recorded = list(read_journal(report.journal))
    assert recorded == line.results
    assert Audit.from_results(recorded).failures(opened=report.triggers) == []


def test_it_stops_after_a_number_of_triggers(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 4)
    camera = folder_camera(parts, loop=True)
    with running(make_config(tmp_path, [camera]), stop_after=7) as line:
        report = line.finish()
    assert report.triggers == 7
    assert len(line.results) == 7


def test_two_cameras_one_engine(tmp_path: Path) -> None:
    cameras = [
        folder_camera(paint_parts(tmp_path / "a", 8), "cam1"),
        folder_camera(paint_parts(tmp_path / "b", 12, defect_every=2), "cam10"),
    ]
    with running(make_config(tmp_path, cameras)) as line:
        report = line.finish()
    assert report.triggers == 20
    by_camera = {name: [r for r in line.results if r.camera == name] for name in ("cam1", "cam10")}
    assert [r.seq for r in by_camera["cam1"]] == list(range(1, 9))
    assert [r.seq for r in by_camera["cam10"]] == list(range(1, 13))
    assert sum(r.disposition == "reject" for r in by_camera["cam10"]) == 6


def test_the_engine_keeps_to_its_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    camera = folder_camera(paint_parts(tmp_path / "parts", 8), loop=True)
    raw = make_raw_config(tmp_path, [camera])
    raw["engine"] |= {"cores": [core], "spinning": True}
    with running(parse_config(raw, origin="test")) as line:
        line.wait_for(lambda: bool(line.results), "a result")
        inspection = Path("/proc") / str(line.station.process_ids["inspection"]) / "task"
        found = {tuple(os.sched_getaffinity(int(task.name))) for task in inspection.iterdir()}
        assert found == {(core,)}


def test_a_core_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 2))])
    raw["engine"]["cores"] = [4095]
    with (
        pytest.raises(StationError, match=r"engine.cores: found \[4095\]"),
        running(parse_config(raw, origin="test")) as line,
    ):
        line.finish()


def test_bad_images_are_rejected_with_their_reason_and_the_line_goes_on(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 6, defect_every=99)
    whole = (parts / "part0001.png").read_bytes()
    (parts / "part0001.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((32, 64), 128, np.uint8)).save(parts / "part0002.png")
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(parts / "part0003.png")
    nan = np.full((64, 64), 128, np.uint8)
    nan[:8, :8] = 1
    Image.fromarray(nan).save(parts / "part0004.png")
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        line.finish()
    assert [Reason(result.reason_code) for result in line.results] == [
        Reason.OK,
        Reason.INCOMPLETE_FRAME,
        Reason.FRAME_FORMAT,
        Reason.FRAME_FORMAT,
        Reason.NON_FINITE_SCORE,
        Reason.OK,
    ]
    assert "64x32 Mono8, expected 64x64 Mono8" in line.results[2].reason
    assert "64x64 RGB8, expected 64x64 Mono8" in line.results[3].reason
    assert line.results[4].score is None
    assert line.results[4].heatmap is not None
    assert not line.results[4].heatmap.published


def test_simulated_parts_are_rejected_on_a_live_output(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 5)
    with running(make_config(tmp_path, [folder_camera(parts)], live_output=True)) as line:
        line.finish()
    reasons = [Reason(result.reason_code) for result in line.results]
    assert reasons == [Reason.SIMULATED_ON_LIVE_OUTPUT] * 4 + [Reason.ANOMALY]
    assert {result.disposition for result in line.results} == {"reject"}


def test_a_deadline_that_cannot_be_kept_is_a_reject_and_the_score_an_amendment(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 5)
    config = make_config(tmp_path, [folder_camera(parts)], deadline_ms=1, deadline_guard_ms=1)
    with running(config) as line:
        line.finish()
    assert len(line.results) == 5
    assert {result.disposition for result in line.results} == {"reject"}
    assert {Reason(result.reason_code) for result in line.results} == {Reason.LATE}


def test_triggers_from_outside_are_answered_one_by_one(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 6)
    camera = folder_camera(parts, trigger={"source": "software"}, loop=True)
    with running(make_config(tmp_path, [camera]), stop_after=4) as line, zmq.Context() as context:
        line.wait_for(lambda: any(s.ready for s in line.statuses), "ready")
        with context.socket(zmq.REQ) as plc:
            plc.connect(line.station.endpoints["replay"])
            for number, trigger_id in enumerate((7, 8, 8, 9)):
                request = requests.TriggerRequest(trigger_id=trigger_id, part_id=f"p{number}", job_id="j1")
                plc.send(requests.encode(request))
                reply = requests.decode_reply(plc.recv())
                assert isinstance(reply, requests.TriggerReply)
                assert reply.taken
                line.wait_for(lambda n=number: len(line.results) > n, "the result")  # type: ignore[misc]
        line.finish()
    got = [(r.trigger_id, r.part_id, r.job_id, Reason(r.reason_code)) for r in line.results]
    assert got == [
        (7, "p0", "j1", Reason.OK),
        (8, "p1", "j1", Reason.OK),
        (8, "p2", "j1", Reason.DUPLICATE_TRIGGER),
        (9, "p3", "j1", Reason.OK),
    ]
    assert {r.trigger_source for r in line.results} == {"plc"}


def test_a_trigger_that_cannot_be_taken_is_refused_and_has_no_result(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 200)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line, zmq.Context() as context:
        line.wait_for(lambda: bool(line.results), "a result")
        with context.socket(zmq.REQ) as plc:
            plc.connect(line.station.endpoints["replay"])
            for camera, words in (("cam1", "triggered by 'line'"), ("cam2", "expected one of: cam1")):
                plc.send(requests.encode(requests.TriggerRequest(trigger_id=99, camera=camera)))
                reply = requests.decode_reply(plc.recv())
                assert isinstance(reply, requests.TriggerReply)
                assert not reply.taken
                assert words in reply.reason
        line.station.stop()
        line.finish()
    assert {result.trigger_source for result in line.results} == {"line"}


def test_the_stations_own_triggers(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 5)
    camera = folder_camera(parts, trigger={"source": "software", "period_ms": 20})
    with running(make_config(tmp_path, [camera]), stop_after=5) as line:
        line.finish()
    assert [result.trigger_source for result in line.results] == ["software"] * 5
    assert [result.disposition for result in line.results] == ["accept"] * 4 + ["reject"]


def test_free_run_takes_the_newest_frame_and_counts_the_skipped(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 50)
    camera = folder_camera(parts, trigger={"source": "freerun"}, rate_hz=2000, loop=True)
    with running(make_config(tmp_path, [camera]), stop_after=20) as line:
        report = line.finish()
    ids = [result.frame.id for result in line.results if result.frame]
    assert len(ids) == 20
    assert ids == sorted(set(ids))
    assert {result.reason_code for result in line.results} <= {Reason.OK, Reason.ANOMALY}
    assert report.triggers == 20


def test_status_tells_of_readiness_and_the_end(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 3)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        line.finish()
    states = [status.state for status in line.statuses]
    assert states[0] == "Preoperational"
    assert "ContinuousExecution" in states
    assert states[-1] == "Halted"
    last = line.statuses[-1]
    assert not last.ready
    assert last.last_seq["result/cam1"] == 3
    [camera] = last.cameras
    assert camera.triggers == camera.accepts + camera.rejects == 3
    counters = [status.counter for status in line.statuses]
    assert counters == list(range(1, len(counters) + 1))


def test_a_stranger_at_the_door_is_an_event_and_counted(tmp_path: Path) -> None:
    for name in ("station", "stranger"):
        make_keys(tmp_path / name, name)
    public = tmp_path / "station" / "station.key"
    stranger = load_client_keys(secret=tmp_path / "stranger" / "stranger.key_secret", server=public)
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 200))], stats_period_s=0.1)
    raw["sockets"]["replay"] = "tcp://0.0.0.0:*"
    raw["security"] = {"keys_dir": str(tmp_path / "station")}
    with running(parse_config(raw, origin="test")) as line, zmq.Context() as context:
        line.wait_for(lambda: bool(line.statuses), "a status")
        port = line.station.endpoints["replay"].rpartition(":")[2]
        with context.socket(zmq.DEALER) as plc:
            plc.linger = 0
            show_keys(plc, stranger)
            plc.connect(f"tcp://127.0.0.1:{port}")
            line.wait_for(lambda: any(event.kind == "security" for event in line.events), "the event")
            line.wait_for(lambda: any(stats.refused for stats in line.headers(StatsHeader)), "the count")
        line.station.stop()
        line.finish()
    [text] = [event.text for event in line.events if event.kind == "security"]
    assert "refused client keys, 1 new" in text
    assert line.headers(StatsHeader)[-1].refused["client keys"] >= 1


# What stops the start


def start_error(root: Path, **camera: object) -> str:
    raw = folder_camera(paint_parts(root / "parts", 2))
    config = make_config(root, [raw | camera])
    with pytest.raises((StationError, ConfigError)) as caught, running(config) as line:
        line.finish()
    return str(caught.value)


def test_no_model(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    (tmp_path / "model" / "model.onnx").unlink()
    assert "model.onnx: not found; expected a trained model" in start_error(tmp_path)


def test_a_model_without_calibration(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    (tmp_path / "model" / FILE_NAME).unlink()
    message = start_error(tmp_path)
    assert "calibration.json: not found" in message
    assert "Run: hlgfa calibrate" in message


def test_a_calibration_of_another_model(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    save_calibration(make_calibration("f" * 64), tmp_path / "model" / FILE_NAME)
    assert "found a calibration of model ffffffffffff, expected one of" in start_error(tmp_path)


def write_roi(model: Path) -> str:
    """A region of interest that leaves out the columns 0..31, into a model folder; returns its hash."""
    right = [(32.0, 0.0), (64.0, 0.0), (64.0, 64.0), (32.0, 64.0)]
    area = inspected_area(Roi(height_px=64, width_px=64, include=[right]), None, where="test")
    save_roi(area, model / ROI_NAME)
    return area.sha256


def test_a_defect_outside_the_region_of_interest_passes(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 5)  # the last one's spot is in the columns 8..15
    model = make_model(tmp_path / "model")
    made = load_manifest(model)
    record = make_calibration(made.model_sha256)
    save_calibration(msgspec.structs.replace(record, roi_sha256=write_roi(model)), model / FILE_NAME)
    with running(make_config(tmp_path, [folder_camera(parts)])) as line:
        line.finish()
    assert [(result.disposition, result.score) for result in line.results] == [("accept", 0.0)] * 5


def test_a_threshold_of_another_region_of_interest(tmp_path: Path) -> None:
    write_roi(make_model(tmp_path / "model"))
    message = start_error(tmp_path)
    assert "found a threshold under no region of interest, expected one under region of interest" in message
    assert f"Run: hlgfa calibrate --model {tmp_path / 'model'} --good DIR" in message


def test_a_model_for_another_image_size(tmp_path: Path) -> None:
    make_model(tmp_path / "model", height_px=32)
    message = start_error(tmp_path)
    assert "found an input of 64x32 with 1 channels, camera cam1 gives 64x64 Mono8" in message
    assert "--input 64x64" in message


def test_no_camera(tmp_path: Path) -> None:
    assert "nowhere" in start_error(tmp_path, directory=str(tmp_path / "nowhere"))


def test_a_port_in_use(tmp_path: Path) -> None:
    first = make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 2))])
    station = Station(first)
    try:
        raw_port = station.endpoints["results"]
        sockets = msgspec.structs.replace(first.sockets, results=raw_port)
        with pytest.raises(ConfigError, match="in use by another program"):
            Station(msgspec.structs.replace(first, sockets=sockets))
    finally:
        station.close()


def test_a_station_that_never_ran_leaves_nothing(tmp_path: Path) -> None:
    station = Station(make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 2))]))
    station.close()
    station.close()
