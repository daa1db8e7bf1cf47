"""What is set on a device, in which order, and what is said when it refuses: without an SDK."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.camera_config import GenicamCameraConfig, TriggerConfig
from pipeline.cameras.camera import CameraError
from pipeline.cameras.features import DeviceFeatures
from pipeline.cameras.nodes import FeatureError, Limits, Value

NUMBERS = {
    "Width": Limits(16, 640, 16),
    "Height": Limits(16, 480, 2),
    "OffsetX": Limits(0, 624, 16),
    "OffsetY": Limits(0, 464, 2),
    "ExposureTime": Limits(20.0, 10_000.0),
    "AcquisitionFrameRate": Limits(1.0, 90.0),
    "GevSCPSPacketSize": Limits(220, 9_000, 4),
}
CHOICES = {
    "PixelFormat": ("Mono8", "Mono12", "BayerRG8"),
    "TriggerSelector": ("AcquisitionStart", "FrameStart"),
    "TriggerMode": ("Off", "On"),
    "TriggerSource": ("Software", "Line1", "Line2"),
    "TriggerActivation": ("RisingEdge", "FallingEdge"),
    "AcquisitionMode": ("SingleFrame", "Continuous"),
    "ExposureAuto": ("Off", "Continuous"),
}


class Device:
    """A device as its last user left it: another region, both triggers on, exposure automatic."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {
            **{"Width": 320, "Height": 240, "OffsetX": 320, "OffsetY": 240},
            **{name: limits.low for name, limits in NUMBERS.items() if name not in ("Width", "Height")},
            **{name: choices[-1] for name, choices in CHOICES.items()},
            **{"OffsetX": 320, "AcquisitionFrameRateEnable": True, "SensorWidth": 640},
        }
        self.trigger_modes = dict.fromkeys(CHOICES["TriggerSelector"], "On")
        self.locked: set[str] = set()
        self.log: list[tuple[str, Value]] = []

    def readable(self, name: str) -> bool:
        return name in self.values

    def writable(self, name: str) -> bool:
        return name in self.values and name not in {"SensorWidth", *self.locked}

    def value(self, name: str) -> Value:
        return self.values[name]

    def set(self, name: str, value: Value) -> None:
        if name in CHOICES and value not in CHOICES[name]:
            raise FeatureError("no such choice")
        if name == "TriggerMode":
            self.trigger_modes[str(self.values["TriggerSelector"])] = str(value)
        self.values[name] = value
        self.log.append((name, value))

    def limits(self, name: str) -> Limits:
        limits = NUMBERS[name]
        if name == "Width":
            return Limits(limits.low, 640 - int(self.values["OffsetX"]), limits.step)
        return limits

    def symbolics(self, name: str) -> tuple[str, ...]:
        return CHOICES[name]

    def execute(self, name: str) -> None:
        raise AssertionError(name)


def _config(**changes: Any) -> GenicamCameraConfig:
    values = {
        "name": "left",
        "width_px": 512,
        "height_px": 480,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="software"),
        "producers": ["x.cti"],
    }
    return GenicamCameraConfig(**{**values, **changes})


def _apply(device: Device, **changes: Any) -> str:
    return DeviceFeatures("Test camera left", device).apply(_config(**changes))


def test_everything_is_set_whatever_the_last_user_left() -> None:
    device = Device()
    format_name = _apply(device, exposure_us=150.0, packet_size_bytes=8_000, offset_x_px=128)
    assert format_name == "Mono8"
    expected = {
        **{"Width": 512, "Height": 480, "OffsetX": 128, "OffsetY": 0, "PixelFormat": "Mono8"},
        **{"ExposureAuto": "Off", "ExposureTime": 150.0, "GevSCPSPacketSize": 8_000},
        **{"AcquisitionMode": "Continuous", "TriggerSource": "Software", "AcquisitionFrameRateEnable": False},
    }
    assert {name: device.values[name] for name in expected} == expected
    assert device.trigger_modes == {"FrameStart": "On", "AcquisitionStart": "Off"}


def test_the_offsets_are_put_aside_while_the_size_is_set() -> None:
    device = Device()
    _apply(device, offset_x_px=128)
    region = [item for item in device.log if item[0] in ("Width", "OffsetX")]
    assert region == [("OffsetX", 0), ("Width", 512), ("OffsetX", 128)]


def test_a_freely_running_camera_has_no_trigger_on() -> None:
    device = Device()
    _apply(device, trigger=TriggerConfig(source="freerun"), rate_hz=25.0)
    assert set(device.trigger_modes.values()) == {"Off"}
    assert (device.values["AcquisitionFrameRateEnable"], device.values["AcquisitionFrameRate"]) == (
        True,
        25.0,
    )


@pytest.mark.parametrize(("edge", "activation"), [("rising", "RisingEdge"), ("falling", "FallingEdge")])
def test_the_trigger_line_and_its_edge_are_set(edge: Any, activation: str) -> None:
    device = Device()
    _apply(device, trigger=TriggerConfig(source="line"), trigger_line="Line2", trigger_edge=edge)
    assert device.values["TriggerSource"] == "Line2"
    assert device.values["TriggerActivation"] == activation


def test_features_go_first_and_in_their_order() -> None:
    device = Device()
    _apply(device, features={"AcquisitionMode": "SingleFrame", "ExposureTime": 90.0})
    assert device.log[:2] == [("AcquisitionMode", "SingleFrame"), ("ExposureTime", 90.0)]
    assert device.values["AcquisitionMode"] == "Continuous"


def test_a_device_without_offsets_keeps_its_whole_sensor() -> None:
    device = Device()
    del device.values["OffsetX"], device.values["OffsetY"]
    device.limits = lambda name: NUMBERS[name]  # type: ignore[method-assign]
    _apply(device)
    assert device.values["Width"] == 512
    with pytest.raises(CameraError, match="offset_x_px: found 16, but the device has no writable OffsetX"):
        _apply(device, offset_x_px=16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width_px": 500}, r"width_px: found 500, expected 16 to 640 in steps of 16 \(the device's Width\)"),
        ({"height_px": 1_000}, r"height_px: found 1000, expected 16 to 480 in steps of 2"),
        ({"offset_x_px": 256}, r"width_px: found a region that ends at 768 px, expected at most 640"),
        ({"exposure_us": 5.0}, r"exposure_us: found 5.0, expected 20.0 to 10000.0"),
        ({"gain_db": 3.0}, r"gain_db: found 3.0, but the device has no writable Gain. Remove gain_db"),
        ({"packet_size_bytes": 1_501}, r"packet_size_bytes: found 1501, expected 220 to 9000 in steps of 4"),
        ({"rate_hz": 5.0}, r"rate_hz: found 5.0 with trigger source 'software'"),
        (
            {"device_pixel_format": "Mono10"},
            r"found the pixel formats Mono8, Mono12, BayerRG8; expected Mono10",
        ),
        ({"device_pixel_format": "BayerRG8"}, r"found 'BayerRG8', expected one that gives Mono8"),
        ({"features": {"Nope": 1}}, r"features: found 'Nope', which this device lacks or has locked"),
        ({"features": {"OffsetX": 1}}, r"features: found 'OffsetX', expected the key offset_x_px for it"),
        (
            {"features": {"ExposureAuto": "x"}},
            r"features.ExposureAuto: found 'x', .* refuses: no such choice",
        ),
        (
            {"trigger": TriggerConfig(source="line"), "trigger_line": "Line7"},
            r"found the trigger sources Software, Line1, Line2; expected Line7. Set another trigger_line",
        ),
    ],
)
def test_a_refusal_says_what_was_found_and_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CameraError, match=message) as caught:
        _apply(Device(), **changes)
    assert str(caught.value).startswith("Test camera left: ")


@pytest.mark.parametrize(
    ("value", "inside"), [(16, True), (32, True), (640, True), (20, False), (0, False), (656, False)]
)
def test_limits_know_their_steps(value: float, inside: bool) -> None:
    assert (value in NUMBERS["Width"]) is inside


RUNNING = {"exposure_us": 150.0, "features": {"LineInverter": False, "LineSource": 1, "Gamma": 1.0}}


def _running() -> Device:
    """A device that was opened with `RUNNING` and streams: what sets the size of a frame is locked."""
    device = Device()
    device.values |= {"LineInverter": True, "LineSource": 0, "Gamma": 2.0, "PayloadSize": 512 * 480}
    _apply(device, **RUNNING)
    device.locked = {"Width", "Height", "PixelFormat", "OffsetX"}
    device.log.clear()
    return device


def _adjust(device: Device, **changes: Any) -> float | None:
    features = DeviceFeatures("Test camera left", device)
    return features.adjust(_config(**RUNNING), _config(**{**RUNNING, **changes}))


def test_a_running_device_is_set_what_differs_and_nothing_else() -> None:
    device = _running()
    assert _adjust(device, exposure_us=400.0, offset_y_px=4) == 400.0
    assert device.log == [("OffsetY", 4), ("ExposureAuto", "Off"), ("ExposureTime", 400.0)]


def test_from_the_first_feature_that_differs_all_are_set_again_and_exposure_after_them() -> None:
    device = _running()
    assert _adjust(device, features={"LineInverter": False, "LineSource": 2, "Gamma": 1.0}) == 150.0
    names = [("LineSource", 2), ("Gamma", 1.0), ("ExposureAuto", "Off"), ("ExposureTime", 150.0)]
    assert device.log == names


@pytest.mark.parametrize(
    "changes",
    [
        {"width_px": 256},
        {"trigger": TriggerConfig(source="line")},
        {"offset_x_px": 16},
        {"exposure_us": 1.0},
        {"features": {**RUNNING["features"], "Missing": 1}},  # type: ignore[dict-item]
    ],
    ids=["size", "trigger", "locked", "out of range", "unknown feature"],
)
def test_what_a_running_device_cannot_take_is_for_opening(changes: dict[str, Any]) -> None:
    assert _adjust(_running(), **changes) is None


def test_a_feature_that_changes_the_size_of_a_frame_is_for_opening() -> None:
    device = _running()
    payload = iter((512 * 480, 256 * 480))
    device.value = lambda name: next(payload) if name == "PayloadSize" else device.values[name]  # type: ignore[method-assign]
    assert _adjust(device, features={**RUNNING["features"], "Gamma": 2.0}) is None  # type: ignore[dict-item]
