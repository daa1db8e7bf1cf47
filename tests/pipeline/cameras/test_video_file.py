from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="NO VIDEO: pip install 'hlgfa-line[video]'")

from pipeline.camera_config import TriggerConfig, VideoCameraConfig
from pipeline.cameras import open_camera
from pipeline.cameras.camera import Camera, CameraError, EndOfFramesError
from pipeline.frame import Frame
from support.numbered import numbered_luma, picture_number
from support.videos import rewrite, write_lossless, write_luma, write_predicted

WIDTH, HEIGHT = 40, 32


def _random(count: int, *, channels: int = 1) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    return [np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in range(count)]


def _numbered(count: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return [
        np.frombuffer(numbered_luma(number, WIDTH, HEIGHT), np.uint8).reshape(HEIGHT, WIDTH)
        for number in range(count)
    ]


def _open(path: Path, **changes: Any) -> Camera:
    values = {
        "name": "vid",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="software"),
        "url": str(path),
    }
    return open_camera(VideoCameraConfig(**{**values, **changes}))


def _read(camera: Camera) -> Frame:
    camera.trigger()
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def _all(camera: Camera) -> list[Frame]:
    frames: list[Frame] = []
    with suppress(EndOfFramesError):
        while True:
            frames.append(_read(camera))
    return frames


def test_grey_comes_bit_for_bit_and_ends(tmp_path: Path) -> None:
    pictures = _random(4)
    with _open(write_lossless(tmp_path / "part.mkv", pictures)) as camera:
        frames = [_read(camera) for _ in pictures]
        with pytest.raises(EndOfFramesError, match="vid has served all 4 images"):
            camera.read(0)
    assert [frame.header.source for frame in frames] == [f"part.mkv#{number}" for number in range(4)]
    assert [frame.header.frame_id for frame in frames] == list(range(4))
    for frame, picture in zip(frames, pictures, strict=True):
        assert frame.header.complete
        assert np.array_equal(frame.pixels, picture)


def test_mono8_is_the_luma_as_it_was_coded(tmp_path: Path) -> None:
    pictures = _random(3)
    with _open(write_luma(tmp_path / "part.mkv", pictures)) as camera:
        for picture in pictures:
            assert np.array_equal(_read(camera).pixels, picture)


def test_rgb_comes_bit_for_bit(tmp_path: Path) -> None:
    pictures = _random(3, channels=3)
    with _open(write_lossless(tmp_path / "part.mkv", pictures), pixel_format="RGB8") as camera:
        for picture in pictures:
            assert np.array_equal(_read(camera).pixels, picture)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_pictures_come_in_their_order_not_in_that_of_packets(tmp_path: Path, suffix: str) -> None:
    path = write_predicted(tmp_path / f"part.{suffix}", _numbered(20))
    with _open(path) as camera:
        frames = _all(camera)
    assert [picture_number(frame.pixels) for frame in frames] == list(range(20))
    assert all(frame.header.complete for frame in frames)


def test_loop_starts_again_with_the_same_pixels(tmp_path: Path) -> None:
    with _open(write_predicted(tmp_path / "part.mkv", _numbered(7)), loop=True) as camera:
        frames = [_read(camera) for _ in range(17)]
    assert [frame.header.source for frame in frames[6:9]] == ["part.mkv#6", "part.mkv#0", "part.mkv#1"]
    for number in range(10):
        assert np.array_equal(frames[number].pixels, frames[number + 7].pixels)


@pytest.mark.parametrize(("rate_hz", "period_ms"), [(None, 20), (100.0, 10)])
def test_the_line_runs_at_the_files_rate_or_at_the_given_one(
    tmp_path: Path, rate_hz: float | None, period_ms: float
) -> None:
    path = write_lossless(tmp_path / "part.mkv", _random(5), rate_hz=50)
    with _open(path, rate_hz=rate_hz, trigger=TriggerConfig(source="line")) as camera:
        headers = [frame.header for _ in range(5) if (frame := camera.read(5.0)) is not None]
    assert [header.frame_id for header in headers] == list(range(5))
    assert headers[-1].exposed_ns - headers[0].exposed_ns == pytest.approx(4e6 * period_ms, abs=10)


def test_freerun_skips_with_a_late_reader_and_shows_it(tmp_path: Path) -> None:
    path = write_predicted(tmp_path / "part.mkv", _numbered(40))
    with _open(path, rate_hz=500.0, trigger=TriggerConfig(source="freerun")) as camera:
        numbers = []
        with suppress(EndOfFramesError):
            while (frame := camera.read(5.0)) is not None:
                assert picture_number(frame.pixels) == frame.header.frame_id
                numbers.append(frame.header.frame_id)
                np.linalg.svd(np.ones((300, 300)))
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 39


def test_a_damaged_picture_is_incomplete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures = _random(5)
    whole = write_lossless(tmp_path / "whole.mkv", pictures)
    spoilt = rewrite(
        whole,
        tmp_path / "spoilt.mkv",
        lambda place, data: data[:20] if place == 2 else data,
    )
    with caplog.at_level(logging.WARNING), _open(spoilt) as camera:
        frames = _all(camera)
    assert [frame.header.complete for frame in frames] == [True, True, False, True, True]
    assert not frames[2].pixels.any()
    assert np.array_equal(frames[3].pixels, pictures[3])
    assert "vid: spoilt.mkv#2 is damaged" in caplog.text


@pytest.mark.parametrize("damage", [lambda data: b"\0" * len(data), lambda data: data[:10]])
def test_what_refers_to_a_damaged_picture_is_incomplete(tmp_path: Path, damage: Any) -> None:
    """Every sixth picture is a key frame; packet 1 is picture 3, which those beside it refer to."""
    whole = write_predicted(tmp_path / "whole.mkv", _numbered(18))
    spoilt = rewrite(whole, tmp_path / "spoilt.mkv", lambda place, data: damage(data) if place == 1 else data)
    with _open(spoilt) as camera:
        frames = _all(camera)
    complete = [frame.header.complete for frame in frames]
    assert len(frames) == 18
    assert complete[0]
    assert not any(complete[1:6])
    assert all(complete[6:])
    for number, frame in enumerate(frames):
        assert not frame.header.complete or picture_number(frame.pixels) == number


def test_a_file_cut_off_while_it_is_read_gives_incomplete_frames(tmp_path: Path) -> None:
    path = write_lossless(tmp_path / "part.mkv", _random(60))
    with _open(path) as camera:
        first = _read(camera)
        path.write_bytes(path.read_bytes()[:20_000])
        complete = [first.header.complete, *(frame.header.complete for frame in _all(camera))]
    assert len(complete) == 60
    assert complete[0]
    assert not complete[-1]


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"vid: found no file .*nowhere\.mp4.*Set `url`"):
        _open(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("text", ["", "not a video", "#EXTM3U\nhttp://127.0.0.1:9/a.ts\n"])
def test_what_is_no_video_is_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / "part.m3u8"
    path.write_text(text)
    with pytest.raises(CameraError, match=r"vid: .*part\.m3u8 cannot be read as video"):
        _open(path)


@pytest.mark.parametrize(
    ("stored", "changes", "message"),
    [
        (None, {"width_px": 64}, r"found 40 x 32 px, expected 64 x 32"),
        ("gray10le", {}, r"found pixels of the kind gray10le, expected for Mono8 .*8 bits"),
        ("yuv420p10le", {"pixel_format": "RGB8"}, r"kind yuv420p10le, expected for RGB8"),
        ("bgr0", {}, r"kind bgr0, expected for Mono8 .*pixel_format to RGB8"),
    ],
)
def test_another_size_or_kind_of_pixels_is_refused(
    tmp_path: Path, stored: str | None, changes: dict[str, Any], message: str
) -> None:
    path = write_lossless(tmp_path / "part.mkv", _random(2), stored=stored)
    with pytest.raises(CameraError, match=message):
        _open(path, **changes)
