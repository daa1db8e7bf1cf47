"""Against viky.cti, the GenTL producer that comes with the package genicam: three simulated devices."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.camera_config import GenicamCameraConfig, TriggerConfig
from pipeline.cameras import open_camera
from pipeline.cameras.camera import CameraError
from pipeline.cameras.genicam import GenicamCamera, GenicamGrabber, discover
from support.viky import VIKY

if TYPE_CHECKING:
    from pipeline.frame import Frame

WIDTH, HEIGHT = 120, 104


@pytest.fixture(autouse=True)
def _needs_genicam(request: pytest.FixtureRequest) -> None:
    if "without_genicam" not in request.node.name and VIKY is None:
        pytest.skip("NO GENICAM: GenTL was not tested. Install the extra genicam")


def _config(**changes: Any) -> GenicamCameraConfig:
    values = {
        "name": "gentl",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="freerun"),
        "producers": [str(VIKY)],
        "serial": "1",
    }
    return GenicamCameraConfig(**{**values, **changes})


def _read(camera: GenicamCamera) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    return frame


@pytest.mark.parametrize(
    ("pixel_format", "shape"), [("Mono8", (HEIGHT, WIDTH)), ("RGB8", (HEIGHT, WIDTH, 3))]
)
def test_frames_are_delivered_in_the_line_format(pixel_format: Any, shape: tuple[int, ...]) -> None:
    with GenicamCamera(_config(pixel_format=pixel_format)) as camera:
        frames = [_read(camera) for _ in range(5)]
    assert [frame.header.frame_id for frame in frames] == list(range(5))
    for frame in frames:
        assert frame.header.complete
        assert frame.header.shape == frame.pixels.shape == shape
        assert frame.pixels.std() > 5


def test_a_frame_is_a_copy_that_the_producer_does_not_write_to() -> None:
    with GenicamCamera(_config(rate_hz=100.0)) as camera:
        first = _read(camera)
        kept = first.pixels.copy()
        moved = [_read(camera).pixels for _ in range(30)]  # every buffer was filled again
    assert np.array_equal(first.pixels, kept)
    assert any(not np.array_equal(pixels, kept) for pixels in moved)


@pytest.mark.parametrize(("serial", "channel"), [("0", 0), ("1", 1), ("2", 2)])
def test_red_green_and_blue_are_told_apart(serial: str, channel: int) -> None:
    """Each device draws on white in its colour: that channel alone stays full everywhere."""
    with GenicamCamera(_config(pixel_format="RGB8", serial=serial)) as camera:
        pixels = _read(camera).pixels
    full = [(pixels[..., number] == 255).all() for number in range(3)]
    assert full == [number == channel for number in range(3)]


def test_a_reader_that_slept_gets_no_old_frame() -> None:
    grabber = GenicamGrabber(_config(rate_hz=200.0))
    try:
        end = time.monotonic() + 10
        while grabber._stream.num_awaiting_delivery < 10:  # it starves
            assert time.monotonic() < end
        starved_ns = time.monotonic_ns()
        first, second = grabber.grab(5.0), grabber.grab(5.0)
        assert first is not None
        assert second is not None
        assert first.received_ns > starved_ns
        assert first.raw_frame_id is not None
        assert first.raw_frame_id > 10  # none of those that waited
    finally:
        grabber.close()


def test_a_camera_in_use_is_refused_and_the_other_ones_are_not() -> None:
    with GenicamCamera(_config()) as camera, GenicamCamera(_config(serial="2")) as other:
        with pytest.raises(CameraError, match=r"found Viky \(serial '1'\) in use by another program"):
            GenicamCamera(_config())
        notes = {found.serial: found.note for found in discover([str(VIKY)])}
        assert notes == {"0": "", "1": "in use", "2": "in use"}
        assert _read(camera).header.complete
        assert _read(other).header.complete
    for _ in range(2):
        with GenicamCamera(_config()) as again:
            assert _read(again).header.frame_id == 0


def test_settings_are_applied_again_when_it_is_opened_again() -> None:
    config = _config(features={"BouncingBallSize": 20}, rate_hz=33.0)
    GenicamCamera(config).close()
    GenicamCamera(_config(features={"BouncingBallSize": 7}, width_px=400, rate_hz=99.0)).close()
    grabber = GenicamGrabber(config)
    try:
        values = [
            grabber._nodes.value(name) for name in ("BouncingBallSize", "Width", "AcquisitionFrameRate")
        ]
        assert values == [20, WIDTH, pytest.approx(33.0)]
    finally:
        grabber.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serial": None}, r"found Viky \(serial '0'\), .*'2'\); expected exactly one\. .*set `serial` or"),
        ({"serial": "9"}, r"expected exactly one with serial '9'"),
        ({"user_id": "left"}, r"expected exactly one with serial '1' and user_id 'left'"),
        ({"width_px": 96}, r"width_px: found 96, expected 100 to 800 \(the device's Width\)"),
        ({"offset_x_px": 8}, r"offset_x_px: found 8, but the device has no writable OffsetX"),
        ({"exposure_us": 9.0}, r"exposure_us: found 9.0, but the device has no writable ExposureTime or"),
        ({"rate_hz": 500.0}, r"rate_hz: found 500.0, expected 1.0 to 200.0"),
        ({"device_pixel_format": "Mono12"}, r"found the pixel formats RGBa8, Mono8; expected Mono12"),
        ({"trigger": TriggerConfig(source="software")}, r"found the trigger sources none; expected Software"),
        (
            {"features": {"BouncingBallSize": 99}},
            r"BouncingBallSize: found 99, .* refuses: Value = 99 must be",
        ),
        (
            {"features": {"BouncingBallSize": "big"}},
            r"BouncingBallSize: found 'big', which the device refuses",
        ),
        ({"features": {"ComponentSelector": "x"}}, r"ComponentSelector: found 'x', which the device refuses"),
        ({"producers": ["no.cti"]}, r"The GenTL producer no.cti cannot be loaded: .*Correct `producers`"),
    ],
)
def test_a_refused_setting_is_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        GenicamCamera(_config(**changes))
    GenicamCamera(_config()).close()  # and the device was released


def test_discovery_looks_where_producers_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    assert discover() == []
    monkeypatch.setenv("GENICAM_GENTL64_PATH", f"{tmp_path}:{Path(str(VIKY)).parent}")
    assert [camera.serial for camera in discover()] == ["0", "1", "2"]


def test_without_genicam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genicam", None)
    with pytest.raises(CameraError, match=r"Install hlgfa-line\[genicam\]"):
        open_camera(_config())
