"""Against Basler's own emulator: real SDK, real image files, no hardware."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.camera_config import PylonCameraConfig, TriggerConfig
from pipeline.cameras import open_camera
from pipeline.cameras.camera import CameraError
from pipeline.cameras.pylon import PylonCamera, discover
from pipeline.frame import Frame

WIDTH, HEIGHT = 160, 120
SERIALS = ("0815-0000", "0815-0001")


@pytest.fixture(autouse=True)
def _needs_pypylon(request: pytest.FixtureRequest) -> None:
    if "without_pypylon" not in request.node.name and find_spec("pypylon") is None:
        pytest.skip("pypylon is not installed")


class Emulator:
    """Prepares the emulated device before it is armed, and keeps hold of it."""

    def __init__(self, images: Path | None = None) -> None:
        self.images = images
        self.device: Any = None

    def __call__(self, device: Any) -> None:
        self.device = device
        if self.images is not None:
            device.TestImageSelector.Value = "Off"
            device.ImageFileMode.Value = "On"
            device.ImageFilename.Value = str(self.images)


def _config(**changes: Any) -> PylonCameraConfig:
    values = {
        "name": "basler",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="software"),
        "serial": SERIALS[0],
    }
    return PylonCameraConfig(**{**values, **changes})


def _read(camera: PylonCamera) -> Frame:
    camera.trigger()
    frame = camera.read(5.0)
    assert frame is not None
    return frame


@pytest.mark.parametrize("pixel_format", ["Mono8", "RGB8"])
def test_images_come_through_pixel_for_pixel(tmp_path: Path, pixel_format: Any) -> None:
    shape = (HEIGHT, WIDTH) if pixel_format == "Mono8" else (HEIGHT, WIDTH, 3)
    images = [np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in range(3)]
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with PylonCamera(_config(pixel_format=pixel_format), configure=Emulator(tmp_path)) as camera:
        for number in (0, 1, 2, 0):
            assert np.array_equal(_read(camera).pixels, images[number])


def test_features_are_set_by_their_own_names(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "part.png")
    features = {
        "TestImageSelector": "Off",
        "ImageFileMode": "On",
        "ImageFilename": str(tmp_path),
    }
    with PylonCamera(_config(features=features)) as camera:
        assert np.array_equal(_read(camera).pixels, pixels)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"Wdith": 64}, "features: found 'Wdith', which this device lacks"),
        ({"GainRaw": 10_000_000}, "features.GainRaw: found 10000000, which the device refuses"),
        ({"Width": 64}, "features: found 'Width', expected the key width_px for it"),
        ({"ImageFileMode": "Maybe"}, "features.ImageFileMode: found 'Maybe', which the device refuses"),
        ({"GainRaw": "high"}, "features.GainRaw: found 'high', which the device refuses"),
    ],
)
def test_a_feature_that_the_device_refuses(features: dict[str, Any], words: str) -> None:
    with pytest.raises(CameraError) as caught:
        PylonCamera(_config(features=features))
    assert words in str(caught.value)


@pytest.mark.parametrize("device_format", ["Mono10", "Mono12", "Mono16"])
def test_more_than_8_bits_are_cut_to_the_upper_8(device_format: str) -> None:
    emulator = Emulator()
    with PylonCamera(_config(device_pixel_format=device_format), configure=emulator) as camera:
        assert emulator.device.PixelFormat.Value == device_format
        frame = _read(camera)
    assert frame.pixels.shape == frame.header.shape
    assert frame.pixels.std() > 1


COLOURED = (
    "RGB8Packed",
    "BGR8Packed",
    "BGRA8Packed",
    *(f"Bayer{pattern}8" for pattern in ("RG", "GR", "GB", "BG")),
)


@pytest.mark.parametrize("device_format", [*COLOURED, "BayerRG12"])
def test_red_stays_red_in_every_format_of_the_device(tmp_path: Path, device_format: str) -> None:
    colour = np.full((HEIGHT, WIDTH, 3), (200, 90, 30), np.uint8)
    Image.fromarray(colour).save(tmp_path / "red.png")
    config = _config(pixel_format="RGB8", device_pixel_format=device_format)
    with PylonCamera(config, configure=Emulator(tmp_path)) as camera:
        assert np.array_equal(_read(camera).pixels, colour)


def test_the_region_is_set_each_time_it_is_opened() -> None:
    for offsets in ((0, 0), (40, 30), (8, 0)):
        emulator = Emulator()
        config = _config(offset_x_px=offsets[0], offset_y_px=offsets[1])
        with PylonCamera(config, configure=emulator) as camera:
            device = emulator.device
            assert (device.OffsetX.Value, device.OffsetY.Value) == offsets
            assert (device.Width.Value, device.Height.Value) == (WIDTH, HEIGHT)
            assert _read(camera).header.complete


def test_discovery_lists_what_selects_a_camera() -> None:
    found = discover()
    assert tuple(camera.serial for camera in found) == SERIALS
    assert {camera.kind for camera in found} == {"pylon"}
    assert all(camera.model and camera.vendor for camera in found)


def test_a_failed_buffer_is_an_incomplete_frame() -> None:
    emulator = Emulator()
    with PylonCamera(_config(), configure=emulator) as camera:
        _read(camera)
        emulator.device.ForceFailedBufferCount.Value = 1
        emulator.device.ForceFailedBuffer.Execute()
        failed, whole = _read(camera), _read(camera)
    assert not failed.header.complete
    assert failed.pixels.shape == (HEIGHT, WIDTH)
    assert not failed.pixels.any()
    assert whole.header.complete
    assert (failed.header.frame_id, whole.header.frame_id) == (1, 2)
    assert (failed.header.trigger_count, whole.header.trigger_count) == (2, 3)


def test_a_late_reader_of_a_free_camera_gets_the_newest_frame() -> None:
    emulator = Emulator()
    free = TriggerConfig(source="freerun")
    with PylonCamera(_config(trigger=free, rate_hz=100.0), configure=emulator) as camera:
        first = camera.read(5.0)
        assert first is not None
        end = time.monotonic() + 10
        while emulator.device.NumReadyBuffers.Value < 1:  # one waits
            assert time.monotonic() < end
        second = camera.read(5.0)
        assert second is not None
    assert second.header.frame_id > first.header.frame_id
    assert second.header.trigger_count is None


def test_a_removed_device_is_an_error_and_can_still_be_closed() -> None:
    emulator = Emulator()
    camera = PylonCamera(_config(), configure=emulator)
    emulator.device.DestroyDevice()
    with pytest.raises(CameraError, match=r"basler cannot be (read|triggered)"):
        camera.read(0.1)
    with pytest.raises(CameraError, match="basler cannot be triggered"):
        camera.trigger()
    camera.close()
    camera.close()


def test_exposure_and_gain_are_set() -> None:
    emulator = Emulator()
    with PylonCamera(_config(exposure_us=250.0, gain_db=1.0), configure=emulator):
        assert emulator.device.ExposureTime.Value == pytest.approx(250)
        assert emulator.device.Gain.Value == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serial": "999"}, r"found .*0815-0000.*0815-0001.*expected exactly one with serial '999'"),
        ({"serial": None, "user_id": "left"}, r"expected exactly one with user_id 'left'"),
        ({"serial": None}, r"found .*0815-0000.*0815-0001.*expected exactly one\. "),
        ({"width_px": 9_999}, r"width_px: found 9999, expected 1 to 4096 \(the device's Width\)"),
        ({"offset_x_px": 4_000}, r"offset_x_px: found 4000, expected 0 to 3936"),
        ({"device_pixel_format": "Mono10p"}, r"found the pixel formats Mono8.*; expected Mono10p"),
        ({"device_pixel_format": "BGR8"}, r"found 'BGR8', expected one that gives Mono8: Mono8, Mono10"),
        ({"exposure_us": 1e8}, r"exposure_us: found 100000000.0, expected 1.0 to 10000000.0"),
        ({"gain_db": 99.0}, r"gain_db: found 99.0, expected .* to "),
        ({"rate_hz": 5.0}, r"rate_hz: found 5.0 with trigger source 'software'"),
        (
            {"rate_hz": 1e6, "trigger": TriggerConfig(source="freerun")},
            r"rate_hz: found 1000000.0, expected .* to 5000",
        ),
    ],
)
def test_a_refused_setting_is_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        PylonCamera(_config(**changes), configure=Emulator())
    PylonCamera(_config(), configure=Emulator()).close()  # and the device was released


def test_the_input_line_is_armed_on_its_rising_edge() -> None:
    emulator = Emulator()
    with PylonCamera(_config(trigger=TriggerConfig(source="line")), configure=emulator) as camera:
        device = emulator.device
        assert device.TriggerSource.Value == "Line1"
        assert device.TriggerActivation.Value == "RisingEdge"
        assert device.TriggerMode.Value == "On"
        assert camera.read(0.05) is None


def test_without_pypylon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    with pytest.raises(CameraError, match=r"Install hlgfa-line\[pylon\]"):
        open_camera(_config())
