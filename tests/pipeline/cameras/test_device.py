"""What a device's camera says of a frame, and when it passes a trigger on: without a device."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
import pytest

from pipeline.camera_config import GenicamCameraConfig, TriggerConfig
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.device import DeviceCamera, Grab, convert
from pipeline.frame import Frame

WIDTH, HEIGHT = 32, 16


class Buffers:
    """A grabber that hands out what it was given, and counts the triggers that reach it."""

    def __init__(self, *grabs: Grab) -> None:
        self.waiting = deque(grabs)
        self.fired = 0
        self.closed = 0
        self.delay_ns = 0
        self.info: Any = None
        self.exposure_us = 0.0

    def trigger(self) -> int:
        self.fired += 1
        return time.monotonic_ns() - self.delay_ns

    def grab(self, timeout_s: float) -> Grab | None:
        return self.waiting.popleft() if self.waiting else None

    def close(self) -> None:
        self.closed += 1


def _grab(raw: int | None, *, complete: bool = True, timestamp_ns: int = 0) -> Grab:
    pixels = np.full((HEIGHT, WIDTH), 9, np.uint8) if complete else None
    return Grab(raw_frame_id=raw, timestamp_ns=timestamp_ns, received_ns=time.monotonic_ns(), pixels=pixels)


def _camera(buffers: Buffers, source: Any = "line", pixel_format: Any = "Mono8") -> DeviceCamera:
    size = {"name": "left", "width_px": WIDTH, "height_px": HEIGHT, "pixel_format": pixel_format}
    config = GenicamCameraConfig(**size, trigger=TriggerConfig(source=source), producers=["x.cti"])
    info = CameraInfo(**size, kind="genicam", vendor="V", model="M", serial="1", simulated=False)
    buffers.info, buffers.exposure_us = info, 200.0
    return DeviceCamera(config, buffers, camera_epoch=3)


def _read(camera: DeviceCamera) -> Frame:
    frame = camera.read(0)
    assert frame is not None
    return frame


def test_frames_are_counted_across_the_wrap_of_the_counter() -> None:
    camera = _camera(Buffers(*map(_grab, (65_534, 65_535, 1, 4))))
    headers = [_read(camera).header for _ in range(4)]
    assert [header.frame_id for header in headers] == [0, 1, 2, 5]
    assert [header.raw_frame_id for header in headers] == [65_534, 65_535, 1, 4]


def test_an_incomplete_frame_is_black_and_keeps_its_place() -> None:
    camera = _camera(Buffers(_grab(7), _grab(None, complete=False), _grab(9)), pixel_format="RGB8")
    frames = [_read(camera) for _ in range(3)]
    assert [frame.header.frame_id for frame in frames] == [0, 1, 2]
    assert [frame.header.complete for frame in frames] == [True, False, True]
    assert frames[1].pixels.shape == frames[1].header.shape == (HEIGHT, WIDTH, 3)
    assert not frames[1].pixels.any()


def test_a_counter_that_goes_back_is_a_lost_camera() -> None:
    camera = _camera(Buffers(_grab(500), _grab(2)))
    camera.read(0)
    with pytest.raises(
        CameraError, match="Genicam camera left cannot be read: the frame counter went from 500"
    ):
        camera.read(0)


def test_without_a_trigger_of_ours_the_exposure_is_reckoned_from_the_device_clock() -> None:
    grab = _grab(1, timestamp_ns=10_000_000_000)
    later = Grab(
        raw_frame_id=2,
        timestamp_ns=grab.timestamp_ns + 40_000_000,
        received_ns=grab.received_ns + 90_000_000,  # 50 ms late
        pixels=grab.pixels,
    )
    camera = _camera(Buffers(grab, later, _grab(3)))
    first, second, third = (_read(camera).header for _ in range(3))
    assert (first.camera_clock, third.camera_clock) == ("device", "none")
    assert first.exposed_ns == grab.received_ns - 200_000
    assert second.exposed_ns == first.exposed_ns + 40_000_000
    assert third.exposed_ns == third.received_ns - 200_000
    assert third.trigger_count is None


def test_a_trigger_is_passed_on_once_a_frame() -> None:
    buffers = Buffers()
    camera = _camera(buffers, "software")
    for _ in range(3):
        camera.trigger()
    assert buffers.fired == 1
    assert camera.read(0) is None
    buffers.waiting.append(_grab(1))
    before_ns = time.monotonic_ns()
    header = _read(camera).header
    assert header.trigger_count == 1
    assert header.exposed_ns < before_ns
    camera.trigger()
    buffers.waiting.append(_grab(2, complete=False))
    assert _read(camera).header.trigger_count == 4
    assert buffers.fired == 2


def test_a_frame_whose_trigger_was_confirmed_late_is_incomplete(caplog: pytest.LogCaptureFixture) -> None:
    """A command that was lost is sent again: another part may be there by then."""
    buffers = Buffers(_grab(1), _grab(2), _grab(3))
    camera = _camera(buffers, "software")
    complete = []
    for buffers.delay_ns in (0, 500_000_000, 0):
        camera.trigger()
        frame = _read(camera)
        complete.append(frame.header.complete)
        assert frame.pixels.any() == frame.header.complete
    assert complete == [True, False, True]
    [record] = caplog.records
    assert "Genicam camera left: a trigger took 500 ms, expected at most 100" in record.getMessage()


def test_closing_releases_the_device_once() -> None:
    buffers = Buffers()
    with _camera(buffers) as camera:
        camera.close()
    assert buffers.closed == 1
    with pytest.raises(CameraError, match="Genicam camera left is closed"):
        camera.read(0)


def test_bytes_that_are_no_image_are_no_frame(caplog: pytest.LogCaptureFixture) -> None:
    data = np.zeros(WIDTH * HEIGHT, np.uint8)
    assert convert("Camera x", data, "Mono8", (HEIGHT, WIDTH)) is not None
    assert convert("Camera x", data[1:], "Mono8", (HEIGHT, WIDTH)) is None
    assert convert("Camera x", data, "Mono8", (HEIGHT, WIDTH), padding_bytes=4) is None
    assert "found an image of 511 bytes, expected 512" in caplog.text
    assert "found lines padded by 4 bytes" in caplog.text
