from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.camera_config import RecordingCameraConfig, TriggerConfig
from pipeline.cameras.belt import Belt
from pipeline.cameras.camera import CameraError, EndOfFramesError
from pipeline.cameras.recording import RecordingCamera
from pipeline.cameras.schedule import EvenSchedule, RecordedSchedule, Schedule
from pipeline.frame import Frame
from pipeline.recording import open_recording
from support.recordings import make_frame, write_frames

MS = 1_000_000


def open_camera(path: Path, **changes: Any) -> RecordingCamera:
    values: dict[str, Any] = {
        "name": "cam1",
        "width_px": 6,
        "height_px": 4,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="line"),
        "file": str(path),
        "pace": "fastest",
    }
    return RecordingCamera(RecordingCameraConfig(**{**values, **changes}), camera_epoch=3)


def read_all(camera: RecordingCamera) -> list[Frame]:
    frames = []
    try:
        while (frame := camera.read(5.0)) is not None:
            frames.append(frame)
    except EndOfFramesError:
        return frames
    raise AssertionError("no frame came in time")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "x.mcap", [make_frame(n) for n in (0, 1, 5, 6)])


def test_the_frames_come_in_their_order_as_fast_as_they_are_taken(path: Path) -> None:
    with open_camera(path) as camera:
        assert (camera.info.vendor, camera.info.model, camera.info.serial) == ("V", "recording of M", "S")
        frames = read_all(camera)
    for frame, number in zip(frames, (0, 1, 5, 6), strict=True):
        assert np.array_equal(frame.pixels, make_frame(number).pixels)


def test_of_the_header_stays_what_describes_the_frame(path: Path) -> None:
    with open_camera(path) as camera:
        header = read_all(camera)[2].header
    recorded = make_frame(5).header
    for name in ("raw_frame_id", "camera_timestamp_ns", "camera_clock", "encoder_count", "source", "truth"):
        assert getattr(header, name) == getattr(recorded, name)
    assert (header.frame_id, header.trigger_count, header.camera_epoch) == (2, 3, 3)
    assert header.simulated
    assert not recorded.simulated
    assert recorded.exposed_ns < header.exposed_ns <= header.received_ns


def test_a_late_reader_loses_nothing_at_the_fastest_pace(tmp_path: Path) -> None:
    many = write_frames(tmp_path / "many.mcap", [make_frame(n) for n in range(40)])
    with open_camera(many) as camera:
        assert [frame.header.frame_id for frame in read_all(camera)] == list(range(40))


def test_the_recorded_pace_is_that_of_the_exposures(tmp_path: Path) -> None:
    times_ms = (0, 15, 50, 60)
    frames = [make_frame(n, exposed_ns=ms * MS) for n, ms in enumerate(times_ms)]
    with open_camera(write_frames(tmp_path / "x.mcap", frames), pace="recorded") as camera:
        exposed_ns = [frame.header.exposed_ns for frame in read_all(camera)]
    assert [ns - exposed_ns[0] for ns in exposed_ns] == [ms * MS for ms in times_ms]


def test_cameras_of_one_recording_keep_their_distance(tmp_path: Path) -> None:
    frames = [
        make_frame(0, camera="cam1", exposed_ns=0),
        make_frame(0, camera="cam2", exposed_ns=30 * MS),
        make_frame(1, camera="cam2", exposed_ns=40 * MS),
    ]
    path = write_frames(tmp_path / "x.mcap", frames)
    with open_camera(path, name="other", channel="cam2", pace="recorded") as camera:
        assert camera.read(0) is None
        first = camera.read(5.0)
    assert first is not None
    assert first.header.camera == "other"
    assert np.array_equal(first.pixels, frames[1].pixels)


def test_loop_starts_again(path: Path) -> None:
    with open_camera(path, loop=True) as camera:
        frames = [camera.read(5.0) for _ in range(6)]
    assert [frame.header.raw_frame_id for frame in frames if frame] == [1000, 1001, 1005, 1006, 1000, 1001]


def test_a_damaged_frame_is_an_incomplete_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_recording(path) as recording:
        place = recording.frames[1].chunk + 120
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING), open_camera(path) as camera:
        frames = read_all(camera)
    assert [frame.header.complete for frame in frames] == [True, False, True, True]
    assert not frames[1].pixels.any()
    assert "damaged" in caplog.text


def test_a_recording_without_this_camera_is_explained(path: Path) -> None:
    with pytest.raises(CameraError, match=r"cam9: found no frame of 'cam9' .*one of: cam1"):
        open_camera(path, name="cam9")


def test_a_file_that_is_none_is_explained(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"nothing")
    with pytest.raises(CameraError, match=r"cam1: .*x\.mcap: is not an MCAP file"):
        open_camera(tmp_path / "x.mcap")


offsets = st.lists(st.integers(0, 10**10), min_size=1, max_size=20).map(sorted)
schedules = st.one_of(st.builds(EvenSchedule, st.floats(0.5, 5000)), st.builds(RecordedSchedule, offsets))


@given(schedule=schedules, index=st.integers(0, 100))
def test_a_schedule_says_the_same_in_both_directions(schedule: Schedule, index: int) -> None:
    at_ns = schedule.offset_ns(index)
    assert schedule.offset_ns(index + 1) >= at_ns
    passed = schedule.passed(at_ns)
    assert passed >= index + 1
    assert schedule.offset_ns(passed - 1) <= at_ns < schedule.offset_ns(passed)


@given(offsets_ns=offsets, steps=st.lists(st.integers(0, 10**10), min_size=1, max_size=20))
def test_a_belt_with_recorded_times_exposes_parts_at_them(offsets_ns: list[int], steps: list[int]) -> None:
    belt, now_ns = Belt("line", RecordedSchedule(offsets_ns), len(offsets_ns)), 0
    taken = []
    for step in [0, *steps]:
        now_ns += step
        while (exposure := belt.take(now_ns)) is not None:
            taken.append(exposure)
            assert exposure.exposed_ns == offsets_ns[exposure.index] <= now_ns
    assert all(one.index < other.index for one, other in itertools.pairwise(taken))
