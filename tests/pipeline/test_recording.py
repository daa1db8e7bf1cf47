from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from pipeline.config import parse_config
from pipeline.frame import Frame, FrameHeader
from pipeline.recorder import Recorder
from pipeline.recording import (
    FORMAT,
    RecordingError,
    create_recording,
    describe_recording,
    open_recording,
)
from support.lines import folder_camera
from support.recordings import INFO, make_camera_info, make_frame, pixels_of, write_frames

ROOT = Path(__file__).parents[2]
integers = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
headers = st.builds(
    FrameHeader,
    camera=st.just("cam1"),
    frame_id=counts,
    raw_frame_id=counts,
    camera_epoch=counts,
    width_px=st.integers(1, 40),
    height_px=st.integers(1, 40),
    pixel_format=st.sampled_from(["Mono8", "RGB8"]),
    complete=st.booleans(),
    exposed_ns=integers,
    received_ns=integers,
    received_utc_ns=integers,
    camera_timestamp_ns=integers,
    camera_clock=st.sampled_from(["device", "host", "none"]),
    trigger_count=st.none() | counts,
    encoder_count=st.none() | integers,
    simulated=st.booleans(),
    source=st.none() | st.text(),
    truth=st.none() | st.text(),
)


def same(one: Frame, other: Frame) -> bool:
    return one.header == other.header and np.array_equal(one.pixels, other.pixels)


def read_all(path: Path) -> list[Frame]:
    with open_recording(path) as recording:
        return [recording.read(ref) for ref in recording.frames]


@settings(max_examples=60, deadline=None)
@given(header=headers, seed=st.integers(0, 1000), compression=st.sampled_from(["zstd", "lz4", "none"]))
def test_any_header_and_pixels_come_back(
    header: FrameHeader, seed: int, compression: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.mcap"
    frame = Frame(header, pixels_of(header, seed=seed))
    with create_recording(path, INFO, [make_camera_info()], compression=compression) as writer:
        writer.write(frame, 7)
    with open_recording(path) as recording:
        [ref] = recording.frames
        sequence, found = recording.read_numbered(ref)
    assert sequence == 7
    assert same(found, frame)
    assert found.pixels.dtype == np.uint8


def test_pixels_that_are_not_contiguous_come_back(tmp_path: Path) -> None:
    frame = make_frame(0)
    sliced = Frame(frame.header, np.repeat(frame.pixels, 2, axis=1)[:, ::2])
    assert not sliced.pixels.flags.c_contiguous
    assert same(read_all(write_frames(tmp_path / "x.mcap", [sliced]))[0], frame)


def test_two_cameras_are_two_channels_in_the_order_of_exposure(tmp_path: Path) -> None:
    times = {"cam1": (0, 40, 80), "cam2": (20, 30, 100)}
    frames = [
        make_frame(n, camera=name, exposed_ns=ms * 1_000_000)
        for name, own in times.items()
        for n, ms in enumerate(own)
    ]
    with open_recording(write_frames(tmp_path / "x.mcap", frames)) as recording:
        order = [(ref.camera, recording.read(ref).header.frame_id) for ref in recording.frames]
        spacing_ns = [ref.exposed_utc_ns - recording.frames[0].exposed_utc_ns for ref in recording.frames]
        assert recording.cameras == {name: make_camera_info(name) for name in times}
        assert [ref.camera for ref in recording.frames_of("cam2")] == ["cam2"] * 3
        assert not recording.torn
    assert order == [("cam1", 0), ("cam2", 0), ("cam2", 1), ("cam1", 1), ("cam1", 2), ("cam2", 2)]
    assert spacing_ns == [ms * 1_000_000 for ms in (0, 20, 30, 40, 80, 100)]


def test_other_readers_of_mcap_find_it_self_describing(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "x.mcap", [make_frame(n) for n in range(3)])
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == 3
        [metadata] = reader.iter_metadata()
        assert metadata.metadata["line"] == "demo"
        messages = list(reader.iter_messages())
    schema, channel, message = messages[1]
    assert (channel.topic, channel.message_encoding) == ("/cam1/frames", "msgpack")
    assert json.loads(channel.metadata["camera"])["serial"] == "S"
    assert schema is not None
    assert schema.encoding == "jsonschema"
    plain = msgspec.msgpack.decode(message.data)
    assert plain["pixels"] == make_frame(1).pixels.tobytes()
    described = json.loads(schema.data)
    jsonschema.validate({"header": plain["header"], "pixels": "AAAA"}, described)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"header": plain["header"] | {"width_px": "6"}, "pixels": "AAAA"}, described)


def test_it_says_where_it_comes_from_and_keeps_addresses_to_itself() -> None:
    raw = {
        "station": {"line": "demo", "name": "s1", "deadline_ms": 100},
        "sockets": {"results": "ipc:///secret", "heatmaps": "ipc:///b", "replay": "ipc:///c"},
        "cameras": [folder_camera(Path("parts"))],
        "engine": {"model": "m", "runtime": "onnxruntime"},
    }
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    info = describe_recording(parse_config(raw, origin="test"), started)
    assert (info.format, info.line, info.station) == (FORMAT, "demo", "s1")
    assert info.started_utc == "2026-01-02T03:04:05.000Z"
    assert json.loads(info.config)["cameras"][0]["directory"] == "parts"
    assert "secret" not in info.config
    assert {"python", "hlgfa-line", "numpy"} <= set(json.loads(info.versions))


@given(kept=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_gives_its_whole_frames(
    kept: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("cut")
    frames = [make_frame(n) for n in range(6)]
    whole = write_frames(directory / "whole.mcap", frames).read_bytes()
    with open_recording(directory / "whole.mcap") as recording:
        starts = [ref.chunk for ref in recording.frames]
    cut = directory / "cut.mcap"
    cut.write_bytes(whole[: starts[0] + int((len(whole) - starts[0]) * kept)])
    found = read_all(cut)
    ends = [*starts[1:], len(whole)]  # a chunk ends before its index, so its frame may be there already
    certain = sum(end <= cut.stat().st_size for end in ends)
    assert certain <= len(found) <= certain + 1
    assert all(same(one, frame) for one, frame in zip(found, frames, strict=False))


KILLED = """
import os, signal
from pathlib import Path
from pipeline.recording import create_recording
from support.recordings import INFO, make_camera_info, make_frame
writer = create_recording(Path({path!r}), INFO, [make_camera_info()])
for number in range(100000):
    writer.write(make_frame(number), number)
    print(number, flush=True)
"""


def test_a_killed_recorder_leaves_every_frame_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'lib'}"}
    command = [sys.executable, "-c", KILLED.format(path=str(path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as recorder:
        assert recorder.stdout is not None
        while "25" not in (line := recorder.stdout.readline()):
            assert line, "the recorder has ended"
        recorder.send_signal(signal.SIGKILL)
        written = 25 + 1 + sum(1 for _ in recorder.stdout)
    assert recorder.returncode == -signal.SIGKILL
    with open_recording(path) as recording:
        assert recording.torn
        found = [recording.read(ref) for ref in recording.frames]
    assert written <= len(found) <= written + 1
    assert all(same(one, make_frame(number)) for number, one in enumerate(found))


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "x.mcap", [make_frame(n) for n in range(3)])
    with open_recording(path) as recording:
        place = recording.frames[1].chunk + 120
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with open_recording(path) as recording:
        assert same(recording.read(recording.frames[0]), make_frame(0))
        with pytest.raises(RecordingError, match=r"x.mcap: a frame of cam1 is damaged"):
            recording.read(recording.frames[1])
        assert same(recording.read(recording.frames[2]), make_frame(2))


@given(data=st.binary(max_size=300), magic=st.booleans())
def test_no_bytes_crash_the_reader(
    data: bytes, magic: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.mcap"
    path.write_bytes((b"\x89MCAP0\r\n" if magic else b"") + data)
    with pytest.raises(RecordingError, match=r"x\.mcap"):
        open_recording(path)


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "x.mcap", [make_frame(0)])
    with pytest.raises(RecordingError, match="exists"):
        create_recording(path, INFO, [make_camera_info()])
    assert len(read_all(path)) == 1
    with create_recording(path, INFO, [make_camera_info()], force=True):
        pass
    assert read_all(path) == []


@pytest.mark.parametrize("name", ["nowhere/x.mcap", "."])
def test_a_place_that_cannot_be_used_is_explained(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        open_recording(tmp_path / name)
    with pytest.raises(RecordingError, match=r"cannot be written|exists"):
        create_recording(tmp_path / name, INFO, [make_camera_info()])


def test_without_its_package_the_reason_and_the_remedy_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("mcap", "pipeline.recording_"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcap", None)
    for attempt in (
        lambda: open_recording(tmp_path / "x.mcap"),
        lambda: create_recording(tmp_path / "x.mcap", INFO, [make_camera_info()]),
    ):
        with pytest.raises(RecordingError, match=r"pip install 'hlgfa-line\[recording\]'"):
            attempt()
    assert not (tmp_path / "x.mcap").exists()


class _HeldWriter:
    """A writer whose disk stands still until it is let go, and may then be full."""

    def __init__(self) -> None:
        self.writing, self.go = threading.Event(), threading.Event()
        self.written: list[tuple[int, int]] = []
        self.fails = False
        self.frames = 0

    def write(self, frame: Frame, sequence: int) -> None:
        self.writing.set()
        assert self.go.wait(10)
        if self.fails:
            raise RecordingError(os.strerror(errno.ENOSPC))
        self.written.append((sequence, frame.header.frame_id))

    def close(self) -> None:
        pass


def test_the_recorder_never_waits_and_counts_what_it_drops() -> None:
    writer = _HeldWriter()
    with Recorder(writer, frame_bytes=2**40) as recorder:  # type: ignore[arg-type]
        recorder.put(make_frame(0))
        assert writer.writing.wait(10)
        for number in (1, 2, 5, 6, 7, 8):  # four fit into the queue, two do not; 3 and 4 never came
            recorder.put(make_frame(number))
        assert (recorder.gaps.dropped, recorder.gaps.missed) == (2, 2)
        assert recorder.gaps
        writer.go.set()
    assert writer.written == [(0, 0), (1, 1), (2, 2), (3, 5), (4, 6)]


def test_the_recorder_says_once_that_the_disk_is_full_and_still_ends() -> None:
    writer = _HeldWriter()
    writer.fails = True
    recorder = Recorder(writer, frame_bytes=2**40)  # type: ignore[arg-type]
    for number in range(9):
        recorder.put(make_frame(number))
    writer.go.set()
    with pytest.raises(RecordingError, match="No space left"):
        recorder.close()
    with pytest.raises(RecordingError, match="No space left"):
        recorder.put(make_frame(9))
