"""Drift on a running line: learned, announced, held over a restart, released by name."""

import errno
import os
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from pipeline.config import Config, ConfigError, StationConfig, parse_config
from pipeline.drift_store import DriftRecord, Held, load_drift, record_path, save_drift
from pipeline.history.journal_files import journal_files, lines_of
from pipeline.messages import EventHeader, Reason, ResultHeader, StatsHeader
from pipeline.requester import Requester
from pipeline.requests import ReleaseHoldReply, ReleaseHoldRequest
from pipeline.station import Station
from support.lines import Line, folder_camera, make_raw_config, paint_parts, running
from support.recipes import change, write_recipe
from tools.release import release

BASELINE, DARK_FROM = 60, 100
ON_REQUEST = {"source": "software", "period_ms": 20}
"""No image is passed over, however busy the machine: the next trigger gets it."""


def make_config(root: Path, count: int, **drift: object) -> Config:
    """Grey parts that vary by 1, and from the hundredth on are darker by 20: all of them pass."""
    parts = root / "parts"
    if not parts.exists():
        parts.mkdir()
        rng = np.random.default_rng(1)
        for number in range(count):
            level = 128 + rng.integers(-1, 2) - 20 * (number >= DARK_FROM)
            Image.fromarray(np.full((64, 64), level, np.uint8)).save(parts / f"part{number:04}.png")
    raw = make_raw_config(root, [folder_camera(parts, trigger=ON_REQUEST)], stats_period_s=0.2)
    settings = {"baseline_parts": BASELINE, "on_drift": "hold"} | drift
    return parse_config(raw | {"drift": settings, "ring": {"slots": 64}}, origin="test")


def judged(line: Line) -> list[ResultHeader]:
    return [result for result in line.results if result.score is not None]


def drift_events(line: Line) -> list[EventHeader]:
    events = [message.header for message in line.messages if isinstance(message.header, EventHeader)]
    return [event for event in events if event.kind == "drift"]


def states(line: Line) -> dict[str, str]:
    return {chart.chart: chart.state for chart in line.station._outbox.drift.charts()}


def test_a_drift_holds_the_line_until_somebody_releases_it(tmp_path: Path) -> None:
    config = make_config(tmp_path, 160)
    with running(config) as line:
        line.finish()
    held = [result for result in line.results if result.reason_code == Reason.DRIFT_HOLD]
    parts = judged(line)
    first = parts.index(held[0])
    assert DARK_FROM < first < 150
    assert parts[first:] == held
    assert {result.verdict for result in held} == {"pass"}
    learned, *warnings = [event for event in drift_events(line) if event.drift or event.severity == "info"]
    assert f"from {BASELINE} good parts" in learned.text
    note = warnings[0].drift
    assert note is not None
    assert warnings[0].code == Reason.DRIFT_HOLD
    since = next(i for i, result in enumerate(parts) if result.result_id == note.since_result_id)
    assert DARK_FROM <= since < first
    assert line.statuses[-1].cameras[0].held

    with running(config, stop_after=60) as again:
        assert_released_by_name(again)


def assert_released_by_name(line: Line) -> None:
    """Held from the first part of the next start on; accepted once Ada has released it."""
    line.wait_for(lambda: len(judged(line)) >= 3, "results of a held camera")
    assert {result.reason_code for result in judged(line)} == {Reason.DRIFT_HOLD}
    endpoint = line.station.endpoints["replay"]
    release("cam1", "Ada", endpoint=endpoint, new_baseline=True)
    with Requester(endpoint) as requester:
        unknown = ReleaseHoldRequest(camera="cam9", operator="Ada")
        assert "expected one of: cam1" in requester.ask(unknown, ReleaseHoldReply).reason
    report = line.finish()
    assert judged(line)[-1].disposition == "accept"
    assert not line.statuses[-1].cameras[0].held
    recorded = [data for file in journal_files(report.journal) for data in lines_of(file.path)]
    assert any(b"released by Ada" in entry.record for entry in recorded if hasattr(entry, "record"))


def test_the_line_goes_on_while_the_disk_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written before the test says so, yet the hold is in force; the end waits for the disk."""
    takes = threading.Event()

    def slow(station: StationConfig, record: DriftRecord) -> None:
        takes.wait(60)
        save_drift(station, record)

    monkeypatch.setattr("pipeline.drift_watch.save_drift", slow)
    config = make_config(tmp_path, 160)
    with running(config) as line:
        line.wait_for(lambda: sum(r.reason_code == Reason.DRIFT_HOLD for r in judged(line)) > 10, "rejects")
        statuses = len(line.statuses)
        line.wait_for(lambda: len(line.statuses) > statuses + 3, "statuses")
        assert not record_path(config.station, "cam1").exists()
        takes.set()
        line.finish()
    assert load_drift(config.station, "cam1").held is not None
    assert {result.reason_code for result in judged(line)} == {Reason.OK, Reason.DRIFT_HOLD}


def test_a_disk_that_refuses_is_told_and_the_camera_is_held_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_station: StationConfig, _record: DriftRecord) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pipeline.drift_watch.save_drift", refuse)
    with running(make_config(tmp_path, 160)) as line:
        line.finish()
    assert judged(line)[-1].reason_code == Reason.DRIFT_HOLD
    told = [event.text for event in line.events if event.kind == "fault"]
    assert any("baselines and hold are not kept" in text and "No space left" in text for text in told)


def test_a_warning_alone_rejects_nothing_and_the_charts_are_in_the_stats(tmp_path: Path) -> None:
    with running(make_config(tmp_path, 160, on_drift="warn")) as line:
        line.finish()
    assert {result.disposition for result in judged(line)} == {"accept"}
    assert any(event.drift is not None and event.code == 0 for event in drift_events(line))
    stats = [message.header for message in line.messages if isinstance(message.header, StatsHeader)]
    charts = {chart.chart: chart for chart in stats[0].drift}
    assert set(charts) == {"score", "brightness", "sharpness", "x_px", "y_px", "rejects"}
    assert charts["brightness"].state == "learning"
    assert charts["brightness"].needed == BASELINE


def test_baselines_outlive_a_start_but_scores_not_another_calibration(tmp_path: Path) -> None:
    config = make_config(tmp_path, DARK_FROM)
    with running(config) as line:
        line.finish()
    record = load_drift(config.station, "cam1")
    assert set(record.steady.baselines.levels) == {"score", "brightness", "sharpness", "x_px", "y_px"}
    steady = msgspec.structs.replace(record.steady, calibration_sha256="0" * 64)
    save_drift(config.station, msgspec.structs.replace(record, steady=steady))
    with running(config, stop_after=3) as again:
        again.finish()
        charts = states(again)
    assert (charts["score"], charts["rejects"], charts["brightness"]) == ("learning", "learning", "steady")


def test_nothing_outlives_another_region_of_interest(tmp_path: Path) -> None:
    """What is measured is another part of the image: its brightness would be a drift."""
    config = make_config(tmp_path, DARK_FROM)
    with running(config) as line:
        line.finish()
    record = load_drift(config.station, "cam1")
    under = msgspec.structs.replace(record.steady.under, roi_sha256="0" * 64)
    steady = msgspec.structs.replace(record.steady, under=under)
    save_drift(config.station, msgspec.structs.replace(record, steady=steady))
    with running(config, stop_after=3) as again:
        again.finish()
        assert set(states(again).values()) == {"learning"}


def test_each_recipe_has_baselines_of_its_own_and_finds_them_again(tmp_path: Path) -> None:
    """Recipe 1 learns whole, recipe 2 in part; both are found again, the former after a restart, too."""
    for number in (1, 2):
        write_recipe(tmp_path, number)
    camera = folder_camera(
        paint_parts(tmp_path / "parts", 20, defect_every=99), trigger=ON_REQUEST, loop=True
    )
    raw = make_raw_config(tmp_path, [camera]) | {"recipes_dir": str(tmp_path / "recipes")}
    config = parse_config(raw | {"drift": {"baseline_parts": BASELINE}}, origin="test")
    with running(config) as line:
        line.wait_for(lambda: len(judged(line)) > 3, "results")
        change(line, 1)
        line.wait_for(lambda: set(states(line).values()) == {"steady"}, "a steady line")
        change(line, 2)
        assert set(states(line).values()) == {"learning"}
        line.wait_for(lambda: learned(line) >= BASELINE // 2, "half a baseline")
        half = learned(line)
        change(line, 1)
        assert set(states(line).values()) == {"steady"}
        change(line, 2)
        assert learned(line) >= half
        change(line, 1)
        line.account()
    with running(config) as again:
        again.wait_for(lambda: len(judged(again)) > 3, "results")
        assert set(states(again).values()) == {"steady"}
        change(again, 2)
        again.wait_for(lambda: set(states(again).values()) == {"steady"}, "another steady line")
    record = load_drift(config.station, "cam1")
    known = {one.under.recipe for one in (record.steady, *record.others)}
    assert known - {"model v1"} == {"1 v1", "2 v1"}  # the first too, where recipe 1 took long to load


def learned(line: Line) -> int:
    return line.station._outbox.drift.charts()[0].learned


def test_a_hold_is_kept_from_a_record_of_other_baselines(tmp_path: Path) -> None:
    config = make_config(tmp_path, 1)
    path = record_path(config.station, "cam1")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = Held(since_utc="2026-01-01T00:00:00+00:00", chart="score", text="")
    levels = {"brightness": {"knots": [1.0], "correlation": 0.2, "excursion": 0.1, "parts": 60}}
    known = {"schema": "hlgfa.drift/1.0", "camera": "cam1", "baselines": {"levels": levels}, "held": held}
    path.write_bytes(msgspec.json.encode(known))
    assert load_drift(config.station, "cam1") == DriftRecord(camera="cam1", held=held)


def test_a_hold_is_on_the_disk_before_it_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes before its name, and its name, too: a loss of power ends no hold."""
    config, flushed = make_config(tmp_path, 1), []
    path = record_path(config.station, "cam1")

    def flush(descriptor: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{descriptor}").resolve().name, path.exists()))

    monkeypatch.setattr(os, "fsync", flush)
    save_drift(config.station, DriftRecord(camera="cam1"))
    assert flushed == [("drift-cam1.part", False), (path.parent.name, True)]


def test_a_record_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """It may have said that the camera is held."""
    config = make_config(tmp_path, 1)
    path = record_path(config.station, "cam1")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"drift-cam1\.json.*remove the file"):
        Station(config)


def test_a_held_camera_is_held_from_the_first_part(tmp_path: Path) -> None:
    config = make_config(tmp_path, 5)
    record = load_drift(config.station, "cam1")
    held = Held(since_utc="2026-01-01T00:00:00+00:00", chart="score", text="")
    save_drift(config.station, msgspec.structs.replace(record, held=held))
    with running(config) as line:
        line.finish()
    assert {result.reason_code for result in judged(line)} == {Reason.DRIFT_HOLD}
