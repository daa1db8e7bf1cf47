"""What needs a V4L2 device: run by test_v4l2.py in a process that has the stand-in."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.camera_config import TriggerConfig, V4l2CameraConfig
from pipeline.cameras import open_camera, v4l2_abi
from pipeline.cameras.camera import Camera, CameraError
from pipeline.cameras.v4l2_devices import find_cameras
from support.numbered import picture_number
from support.v4l2_stand_in import STAND_IN_PATH, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.frame import Frame

WIDTH, HEIGHT, PERIOD_NS = 120, 104, 20_000_000
READ_TIMEOUT_MS = 300


@pytest.fixture(autouse=True)
def _whole_again() -> Iterator[None]:
    yield
    for name in ("unplugged", "still", "faulty", "short", "plain_clock", "no_bandwidth"):
        _set(name, 0)


def _set(name: str, value: int = 1) -> None:
    stand_in().stand_in_set(name.encode(), value)


def _open(**changes: Any) -> Camera:
    values = {
        "name": "usb1",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="freerun"),
        "device": STAND_IN_PATH,
        "rate_hz": 50.0,
        "read_timeout_ms": READ_TIMEOUT_MS,
    }
    return open_camera(V4l2CameraConfig(**{**values, **changes}))


def _shown(frame: Frame) -> int:
    """The sequence number that the picture shows."""
    return picture_number(frame.pixels) - 1


def _read_until_lost(camera: Camera) -> str:
    """The message with which the camera is lost, within a second or two."""
    try:
        for _ in range(40):
            camera.read(0.05)
    except CameraError as error:
        return str(error)
    raise AssertionError("the camera was not lost")


def _read(camera: Camera) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    return frame


@pytest.mark.parametrize("device_format", [None, "GREY", "YUYV"])
def test_mono8_is_the_luma_of_rows_that_are_padded(device_format: str | None) -> None:
    with _open(device_format=device_format) as camera:
        for _ in range(10):
            frame = _read(camera)
            assert _shown(frame) == frame.header.raw_frame_id
            assert set(frame.pixels.ravel().tolist()) <= {48, 208}


@pytest.mark.parametrize(("device_format", "blue"), [(None, 7), ("RGB3", 7), ("YUYV", None)])
def test_rgb8_has_its_channels_in_order(device_format: str | None, blue: int | None) -> None:
    with _open(device_format=device_format, pixel_format="RGB8") as camera:
        frame = _read(camera)
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert _shown(frame) == frame.header.raw_frame_id
    if blue is None:
        assert (frame.pixels[..., 0] == frame.pixels[..., 2]).all()
    else:
        assert (frame.pixels[..., 2] == blue).all()


def test_a_slow_reader_gets_fresh_frames_and_sees_the_gaps() -> None:
    with _open() as camera:
        frames = []
        for pause_s in (0.0, 0.03, 0.3, 0.3):
            until = time.monotonic() + pause_s
            while time.monotonic() < until:
                sum(range(1_000))
            frames.append(_read(camera))
    for frame in frames:
        assert frame.header.received_ns - frame.header.exposed_ns < 2 * PERIOD_NS
        assert _shown(frame) == frame.header.raw_frame_id
    ids = [frame.header.frame_id for frame in frames]
    assert all(b - a >= 14 for a, b in itertools.pairwise(ids[1:]))


def test_software_gives_a_picture_exposed_after_the_trigger() -> None:
    with _open(trigger=TriggerConfig(source="software")) as camera:
        for expected in range(5):
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                sum(range(1_000))
            triggered_ns = time.monotonic_ns()
            camera.trigger()
            header = _read(camera).header
            assert (header.frame_id, header.trigger_count) == (expected, expected + 1)
            assert triggered_ns <= header.exposed_ns < triggered_ns + 2 * PERIOD_NS


@pytest.mark.parametrize("fault", ["faulty", "short"])
def test_a_faulty_picture_is_incomplete(fault: str) -> None:
    with _open() as camera:
        assert _read(camera).header.complete
        _set(fault)
        frames = [_read(camera) for _ in range(4)]
        assert not frames[-1].header.complete
        assert not frames[-1].pixels.any()
        assert frames[-1].pixels.shape == frames[-1].header.shape
        _set(fault, 0)
        frames = [_read(camera) for _ in range(4)]
        assert frames[-1].header.complete


def test_another_clock_is_not_believed() -> None:
    _set("plain_clock")
    with _open() as camera:
        before_ns = time.monotonic_ns()
        header = _read(camera).header
    assert header.camera_clock == "device"
    assert before_ns <= header.exposed_ns <= header.received_ns


def test_unplugged_is_seen_at_once_and_it_opens_again() -> None:
    with _open() as camera:
        _read(camera)
        camera.probe()
        _set("unplugged")
        with pytest.raises(CameraError, match="usb1 cannot be read: it is gone"):
            camera.probe()
        start = time.monotonic()
        with pytest.raises(
            CameraError, match=r"usb1 cannot be read: it is gone \(unplugged\)\. Check the cable"
        ):
            camera.read(5.0)
        assert time.monotonic() - start < 0.5
    with pytest.raises(CameraError, match="usb1 cannot be opened"):
        _open()
    _set("unplugged", 0)
    with _open() as camera:
        assert _read(camera).header.frame_id == 0


def test_a_silent_device_is_lost_in_the_set_time() -> None:
    with _open() as camera:
        _read(camera)
        _set("still")
        start = time.monotonic()
        assert f"no picture for {READ_TIMEOUT_MS} ms" in _read_until_lost(camera)
        assert 0.2 < time.monotonic() - start < 1.0


def test_a_counter_that_goes_back_is_a_lost_camera() -> None:
    with _open() as camera:
        for _ in range(5):
            _read(camera)
        _set("sequence", 0)
        assert "the frame counter went from" in _read_until_lost(camera)


def test_a_second_program_is_refused() -> None:
    with _open() as camera:
        with pytest.raises(CameraError, match="usb1 cannot be opened: another program uses it"):
            _open()
        assert _read(camera).header.complete


def test_a_full_bus_is_explained_and_the_device_released() -> None:
    _set("no_bandwidth")
    with pytest.raises(CameraError, match="cannot be opened: the USB bus has too little bandwidth left"):
        _open()
    _set("no_bandwidth", 0)
    with _open() as camera:
        assert _read(camera).header.complete


def test_exposure_gain_and_controls_are_set() -> None:
    with _open(exposure_us=2_500.0, gain=12, controls={"brightness": -3}):
        control = stand_in().stand_in_control
        assert control(v4l2_abi.CID_EXPOSURE_ABSOLUTE) == 25
        assert control(v4l2_abi.CID_EXPOSURE_AUTO) == v4l2_abi.EXPOSURE_MANUAL
        assert control(v4l2_abi.CID_GAIN) == 12
        assert control(0x0098_0900) == -3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width_px": 100}, r"size: found 100 x 104 px, expected with GREY 120 x 104, 640 x 480\."),
        (
            {"device_format": "MJPG"},
            r"device formats: found YUYV, GREY, RGB3, expected for Mono8 GREY, YUYV\.",
        ),
        ({"rate_hz": 30.0}, r"rate_hz: found 30, expected what the device offers, next 25\."),
        ({"exposure_us": 1e6}, r"exposure_us: found 10000 times 100 us, expected 1 to 5000 times 100 us\."),
        ({"gain": 13}, r"gain: found 13, expected what the device takes as it is, next 12\."),
        ({"gain": 300}, r"gain: found 300, expected 0 to 255\."),
        (
            {"controls": {"focus": 1}},
            r"controls: found 'focus', expected one of brightness, gain_automatic, gain",
        ),
        ({"controls": {"brightness": 65}}, r"controls\.brightness: found 65, expected -64 to 64\."),
        ({"trigger": TriggerConfig(source="line")}, r"'line'.*Set 'freerun' or 'software'"),
        ({"device": "/dev/null"}, r"usb1 cannot be opened: .*Inappropriate ioctl"),
        ({"device": "/dev/video63"}, r"usb1 cannot be opened: .*No such file"),
    ],
)
def test_what_the_device_does_not_offer_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        _open(**changes)
    with _open() as camera:  # and nothing is left open
        assert _read(camera).header.complete


def test_it_is_found_with_its_serial_and_by_a_link(tmp_path: Path) -> None:
    usb = tmp_path / "usb1" / "1-2"
    (usb / "1-2:1.0").mkdir(parents=True)
    (usb / "manufacturer").write_text("Example\n")
    (usb / "serial").write_text("SN42\n")
    entry = tmp_path / "class" / "video7"
    entry.mkdir(parents=True)
    (entry / "device").symlink_to(usb / "1-2:1.0")
    found = find_cameras(tmp_path / "class")
    assert [
        (camera.vendor, camera.model, camera.serial, camera.address, camera.note) for camera in found
    ] == [("Example", "Stand-in camera", "SN42", STAND_IN_PATH, "")]
    link = tmp_path / "usb-Example_SN42-video-index0"
    link.symlink_to(STAND_IN_PATH)
    with _open(device=str(link)) as camera:
        assert _read(camera).header.complete
