"""Against Aravis' fake GigE Vision camera: a process of its own, real packets over UDP, no hardware."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.camera_config import AravisCameraConfig, TriggerConfig
from pipeline.cameras import aravis, open_camera
from pipeline.cameras.aravis import AravisCamera, AravisGrabber, discover
from pipeline.cameras.camera import CameraError
from pipeline.cameras.pixels import to_line_format
from support.fake_gv_camera import FakeGvCamera, frame_bytes, missing_aravis
from support.private_network import private_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.frame import Frame

WIDTH, HEIGHT = 96, 80
FIRST, SECOND = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """A network without a way out, that two cameras can be on."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    with private_network(SECOND):
        yield


@pytest.fixture(scope="module")
def cameras(network: None) -> Iterator[None]:
    """Two cameras that stay whole."""
    with (
        FakeGvCamera("A1", address=FIRST, user_id="left"),
        FakeGvCamera("B2", address=SECOND, user_id="right"),
    ):
        yield


@pytest.fixture
def lone_network() -> Iterator[None]:
    """A network for the cameras that a test breaks."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    with private_network():
        yield


def _config(**changes: Any) -> AravisCameraConfig:
    values = {
        "name": "gige",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="software"),
        "address": FIRST,
        "packet_size_bytes": 8_000,
    }
    return AravisCameraConfig(**{**values, **changes})


def _read(camera: AravisCamera) -> Frame:
    camera.trigger()
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def _read_on(camera: AravisCamera, seconds: float, reads_s: list[float]) -> None:
    """Read like the capture process; what each read took goes to `reads_s`."""
    end = time.monotonic() + seconds
    while (before := time.monotonic()) < end:
        camera.read(0.05)
        reads_s.append(time.monotonic() - before)


def _sent(frame: Frame, device_format: str, bits: int) -> Any:
    """What the camera sent as this frame, in the line's format."""
    data = frame_bytes(frame.header.raw_frame_id, WIDTH * HEIGHT * bits // 8)
    return to_line_format(data, device_format, width_px=WIDTH, height_px=HEIGHT)


@pytest.mark.usefixtures("cameras")
class TestWholeCamera:
    @pytest.mark.parametrize(
        ("pixel_format", "device_format", "bits"),
        [
            ("Mono8", None, 8),
            ("Mono8", "Mono12", 16),
            ("Mono8", "Mono12p", 12),
            ("Mono8", "Mono12Packed", 12),
            ("RGB8", None, 24),
            ("RGB8", "BayerGR8", 8),
        ],
    )
    def test_frames_come_pixel_for_pixel(self, pixel_format: Any, device_format: Any, bits: int) -> None:
        config = _config(pixel_format=pixel_format, device_pixel_format=device_format)
        with AravisCamera(config) as camera:
            for _ in range(10):
                frame = _read(camera)
                assert frame.header.complete
                assert np.array_equal(frame.pixels, _sent(frame, device_format or pixel_format, bits))

    @pytest.mark.parametrize(
        ("selected_by", "serial"),
        [
            ({"address": SECOND}, "B2"),
            ({"address": None, "serial": "A1"}, "A1"),
            ({"address": None, "user_id": "right"}, "B2"),
            ({"address": SECOND, "serial": "B2"}, "B2"),
        ],
    )
    def test_a_camera_is_selected(self, selected_by: dict[str, Any], serial: str) -> None:
        with AravisCamera(_config(**selected_by)) as camera:
            assert camera.info.serial == serial
            assert _read(camera).header.complete

    @pytest.mark.parametrize(
        ("selected_by", "message"),
        [
            (
                {"address": None, "serial": "C3"},
                r"found Fake \(serial 'A1'.*'B2'.*exactly one with serial 'C3'",
            ),
            ({"address": None}, r"found .*'A1'.*'B2'.*expected exactly one\. "),
            ({"address": SECOND, "serial": "A1"}, r"found the serial 'B2' at 127.0.0.2, expected 'A1'"),
            (
                {"address": None, "user_id": "up"},
                r"cannot open up: .*Found Fake \(serial 'A1'.*set `user_id`",
            ),
        ],
    )
    def test_another_camera_than_asked_for_is_refused(
        self, selected_by: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CameraError, match=message):
            AravisCamera(_config(**selected_by))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"width_px": 4_096}, r"width_px: found 4096, expected 4 to 2048 in steps of 4"),
            ({"width_px": 98}, r"width_px: found 98, expected 4 to 2048 in steps of 4"),
            ({"offset_x_px": 2_000}, r"width_px: found a region that ends at 2096 px, expected at most 2048"),
            ({"exposure_us": 1.0}, r"exposure_us: found 1.0, expected 10.0 to 10000000.0"),
            ({"gain_db": 3.0}, r"gain_db: found 3.0, but the device has no writable Gain"),
            ({"device_pixel_format": "Mono10p"}, r"found the pixel formats .*Mono12p.*; expected Mono10p"),
            ({"packet_size_bytes": 20_000}, r"packet_size_bytes: found 20000, expected 220 to 16404"),
            ({"features": {"GainRaw": 99}}, r"features.GainRaw: found 99, .* refuses: it takes 0 to 10"),
            ({"features": {"GainRaw": "1"}}, r"features.GainRaw: found '1', .* a value of type integer"),
            ({"features": {"GainAuto": "On"}}, r"features.GainAuto: .* refuses: it takes one of Off, Once"),
            ({"features": {"DeviceID": "x"}}, r"features: found 'DeviceID', which this device lacks or has"),
            ({"trigger": TriggerConfig(source="line")}, r"found .* Line0, Software; expected Line1. .*line"),
        ],
    )
    def test_a_refused_setting_is_explained(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(CameraError, match=message):
            AravisCamera(_config(**changes))
        AravisCamera(_config()).close()  # and the device was released

    def test_a_refused_camera_is_released_even_while_its_traceback_lives(self) -> None:
        with pytest.raises(CameraError) as caught:
            AravisCamera(_config(gain_db=3.0))
        AravisCamera(_config()).close()
        assert caught.tb is not None
        del caught  # else it refers to itself, by its traceback, and the device waits for the collector

    def test_settings_are_applied_again_when_it_is_opened_again(self) -> None:
        config = _config(exposure_us=123.0, offset_x_px=8, features={"GainRaw": 4})
        AravisCamera(config).close()
        AravisCamera(_config(exposure_us=9_000.0, width_px=640, features={"GainRaw": 0})).close()
        grabber = AravisGrabber(config)
        try:
            device = grabber._camera.get_device()
            names = ("Width", "OffsetX", "GainRaw")
            assert [device.get_integer_feature_value(name) for name in names] == [WIDTH, 8, 4]
            assert grabber.exposure_us == 123.0
        finally:
            grabber.close()

    def test_a_kernel_that_grants_too_small_a_buffer_is_told_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        limit = tmp_path / "rmem_max"
        limit.write_text("212992\n")
        monkeypatch.setattr("pipeline.cameras.aravis._RMEM_MAX", limit)
        AravisCamera(_config(socket_buffer_bytes=212_992)).close()
        assert not caplog.records
        AravisCamera(_config()).close()
        assert "found a limit of 212992 in net.core.rmem_max, expected 4194304" in caplog.text

    def test_discovery_lists_both(self) -> None:
        found = {camera.serial: camera for camera in discover()}
        assert {serial: camera.address for serial, camera in found.items()} == {"A1": FIRST, "B2": SECOND}
        assert found["A1"].note == "GigEVision"

    def test_the_input_line_is_armed(self) -> None:
        config = _config(trigger=TriggerConfig(source="line"), trigger_line="Line0")
        with AravisCamera(config) as camera:
            assert camera.read(0.1) is None

    def test_a_reader_that_slept_gets_no_old_frame(self) -> None:
        config = _config(trigger=TriggerConfig(source="freerun"), rate_hz=200.0)
        grabber = AravisGrabber(config)
        try:
            assert grabber.grab(5.0) is not None
            end = time.monotonic() + 10
            while grabber._stream.get_n_buffers().n_output_buffers < 10:  # it starves
                assert time.monotonic() < end
            starved_ns = time.monotonic_ns()
            first, second = grabber.grab(5.0), grabber.grab(5.0)
            assert first is not None
            assert second is not None
            assert first.raw_frame_id is not None
            assert second.raw_frame_id is not None
            assert 1 <= (second.raw_frame_id - first.raw_frame_id) % 65_535 <= 10
            assert first.received_ns > starved_ns
        finally:
            grabber.close()


def test_the_frame_counter_wraps(lone_network: None) -> None:
    with FakeGvCamera("A1"), AravisCamera(_config()) as camera:
        headers = [_read(camera).header for _ in range(150)]
    assert [header.frame_id for header in headers] == list(range(150))
    raw = [header.raw_frame_id for header in headers]
    assert (65_535, 1) in itertools.pairwise(raw)


@pytest.mark.parametrize("resend", ["always", "never"])
def test_lost_packets_make_incomplete_frames_and_never_wrong_ones(lone_network: None, resend: Any) -> None:
    config = _config(packet_size_bytes=1_000, packet_resend=resend, frame_retention_ms=20.0)
    with FakeGvCamera("A1", lost=0.03), AravisCamera(config) as camera:
        frames = [_read(camera) for _ in range(80)]
    assert [frame.header.frame_id for frame in frames] == list(range(80))
    assert 5 < sum(frame.header.complete for frame in frames) < 75
    for frame in frames:
        if frame.header.complete:
            assert np.array_equal(frame.pixels, _sent(frame, "Mono8", 8))
        else:
            assert not frame.pixels.any()


def test_a_camera_that_vanishes_is_an_error_in_bounded_time_and_opens_again(lone_network: None) -> None:
    device = FakeGvCamera("A1")
    camera = AravisCamera(_config(trigger=TriggerConfig(source="freerun"), rate_hz=50.0))
    assert camera.read(5.0) is not None
    device.kill()
    reads_s: list[float] = []
    with pytest.raises(CameraError, match="Aravis camera gige cannot be read: the connection was lost"):
        _read_on(camera, 8.0, reads_s)
    assert max(reads_s) < 0.5
    closing = time.monotonic()
    camera.close()
    assert time.monotonic() - closing < 1.5
    with FakeGvCamera("A1"), AravisCamera(_config()) as camera:
        assert _read(camera).header.frame_id == 0


def test_closing_while_the_loss_is_still_being_told_does_not_end_the_process() -> None:
    """In a process of its own, which this file is the program of: what it is about is a trap of GLib."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "closed\n"), ended.stderr


def _close_while_the_loss_is_told() -> None:
    """Another camera takes the place of one that vanished, so that the loss is told at once."""

    class ToldLate(threading.Event):
        def set(self) -> None:
            super().set()
            time.sleep(2.0)  # the thread that tells of it still refers to the device

    aravis.Event = ToldLate  # type: ignore[misc,attr-defined]
    with private_network():
        with FakeGvCamera("A1"):
            camera = AravisCamera(_config(trigger=TriggerConfig(source="freerun")))
        with FakeGvCamera("A2"):
            with contextlib.suppress(CameraError):
                _read_on(camera, 8.0, [])
            camera.close()
            time.sleep(3.0)  # until it is told, and GLib has let go of the device
    print("closed")


def test_a_second_program_is_told_that_the_camera_is_in_use(lone_network: None) -> None:
    with FakeGvCamera("A1"), AravisCamera(_config()) as camera:
        with pytest.raises(CameraError, match=r"found Fake \(serial 'A1'\) in use by another program"):
            AravisCamera(_config())
        assert _read(camera).header.complete


@pytest.mark.parametrize("module", ["gi", "gi.repository.Aravis"])
def test_without_aravis_it_is_said_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("pipeline.cameras.aravis_device.VERSION", "0.8" if module == "gi" else "99.9")
    with pytest.raises(CameraError, match=r"Install hlgfa-line\[aravis\] and, on Debian, .*gir1.2-aravis"):
        open_camera(_config())


if __name__ == "__main__":
    _close_while_the_loss_is_told()
