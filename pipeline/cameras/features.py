"""Setting the GenICam features of one opened device, whatever its SDK; every refusal says what to do."""

from __future__ import annotations

from itertools import dropwhile
from typing import TYPE_CHECKING

from pipeline.cameras.camera import CameraError
from pipeline.cameras.changes import live_changes
from pipeline.cameras.nodes import FeatureError
from pipeline.cameras.pixels import CONVERTIBLE, choose_format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.camera_config import DeviceCameraConfig
    from pipeline.cameras.nodes import NodeMap, Value

ENCODER = "Encoder0"
"""The first encoder, as GenICam's SFNC names it; which lines it counts is set by `features`."""
# Features that have a key of their own; set among `features` they would be overwritten in silence.
_OWN_KEYS = {
    "Width": "width_px",
    "Height": "height_px",
    "OffsetX": "offset_x_px",
    "OffsetY": "offset_y_px",
    "PixelFormat": "device_pixel_format",
}


# What a running device may take; what it has locked meanwhile is seen when it is set.
_LIVE = frozenset({"exposure_us", "gain_db", "rate_hz", "features", "offset_x_px", "offset_y_px"})


class DeviceFeatures:
    """The features of one device; `label` names the camera in messages, such as `Pylon camera left`."""

    def __init__(self, label: str, nodes: NodeMap) -> None:
        self._label = label
        self._nodes = nodes

    def apply(self, config: DeviceCameraConfig) -> str:
        """Set everything that the configuration says; the pixel format that the device delivers.

        Raises:
            CameraError: the device refuses a value.
        """
        for name, value in config.features.items():
            self.set_feature(name, value)
        self.set_region(config)
        device_format = self.set_pixel_format(config)
        self.set_if_present("AcquisitionMode", "Continuous")
        if config.exposure_us is not None:
            self._set_exposure(config.exposure_us)
        if config.gain_db is not None:
            self._set_gain(config.gain_db)
        if config.packet_size_bytes is not None:
            self.set_number("packet_size_bytes", config.packet_size_bytes, "GevSCPSPacketSize")
        self.set_trigger(config)
        self.set_rate(config.rate_hz, config.trigger.source)
        return device_format

    def adjust(self, before: DeviceCameraConfig, config: DeviceCameraConfig) -> float | None:
        """Set what differs on a device that runs; its `exposure_us` then, None if it has to be opened again.

        From the first feature that differs on all are set, exposure, gain and rate too: they may depend on
        those before them, as on a selector. What changes the size of a frame is for opening.
        """
        changed = live_changes(before, config, _LIVE)
        if changed is None:
            return None
        payload = self.number("PayloadSize")
        try:
            self._set_live(_from_first_change(before.features, config.features), config, changed)
        except CameraError:
            return None  # locked or refused: opened again, it takes it, or the camera says why not
        return self.exposure_us if self.number("PayloadSize") == payload else None

    def _set_live(self, features: Mapping[str, Value], config: DeviceCameraConfig, changed: set[str]) -> None:
        for name, value in features.items():
            self.set_feature(name, value)
        if "offset_x_px" in changed:
            self.set_number("offset_x_px", config.offset_x_px, "OffsetX")
        if "offset_y_px" in changed:
            self.set_number("offset_y_px", config.offset_y_px, "OffsetY")
        self._check_region(config)
        if config.exposure_us is not None and changed & {"features", "exposure_us"}:
            self._set_exposure(config.exposure_us)
        if config.gain_db is not None and changed & {"features", "gain_db"}:
            self._set_gain(config.gain_db)
        if config.rate_hz is not None and changed & {"features", "rate_hz"}:
            self.set_rate(config.rate_hz, config.trigger.source)

    def _set_exposure(self, exposure_us: float) -> None:
        self.set_if_present("ExposureAuto", "Off")
        self.set_number("exposure_us", exposure_us, "ExposureTime", "ExposureTimeAbs")

    def _set_gain(self, gain_db: float) -> None:
        self.set_if_present("GainAuto", "Off")
        self.set_number("gain_db", gain_db, "Gain")

    def set_feature(self, name: str, value: Value) -> None:
        """Set any feature by the device's own name for it."""
        if name in _OWN_KEYS:
            raise CameraError(
                f"{self._label}: features: found {name!r}, expected the key {_OWN_KEYS[name]} for it. "
                f"Set {_OWN_KEYS[name]} and remove it from features."
            )
        if not self._nodes.writable(name):
            raise CameraError(
                f"{self._label}: features: found {name!r}, which this device lacks or has "
                "locked. Remove it, or move it behind the feature that unlocks it."
            )
        self._set(f"features.{name}", name, value)

    def set_region(self, config: DeviceCameraConfig) -> None:
        """The region of the sensor: first without offsets, which would limit its size."""
        self.set_if_present("OffsetX", 0)
        self.set_if_present("OffsetY", 0)
        for key, value, name in (
            ("width_px", config.width_px, "Width"),
            ("height_px", config.height_px, "Height"),
            ("offset_x_px", config.offset_x_px, "OffsetX"),
            ("offset_y_px", config.offset_y_px, "OffsetY"),
        ):
            fixed = self._nodes.value(name) if self._nodes.readable(name) else 0
            if value == fixed:
                continue  # also where the device has it fixed, or lacks offsets
            self.set_number(key, value, name)
        self._check_region(config)

    def _check_region(self, config: DeviceCameraConfig) -> None:
        self._check_within_sensor("width_px", config.offset_x_px + config.width_px, "WidthMax", "SensorWidth")
        self._check_within_sensor(
            "height_px", config.offset_y_px + config.height_px, "HeightMax", "SensorHeight"
        )

    def _check_within_sensor(self, key: str, end_px: int, *names: str) -> None:
        """Not every device limits the offsets by what the size leaves."""
        size_px = self.number(*names)
        if size_px is not None and end_px > size_px:
            raise CameraError(
                f"{self._label}: {key}: found a region that ends at {end_px} px, expected at most "
                f"{size_px:g} (the device's {names[0]}). Lessen {key} or the offset."
            )

    def set_pixel_format(self, config: DeviceCameraConfig) -> str:
        """Make the device deliver the configured format, or the best that can be converted to it."""
        offered = self._nodes.symbolics("PixelFormat")
        convertible = CONVERTIBLE[config.pixel_format]
        wanted = config.device_pixel_format
        if wanted is not None and wanted not in convertible:
            raise CameraError(
                f"{self._label}: device_pixel_format: found {wanted!r}, expected one that gives "
                f"{config.pixel_format}: {', '.join(convertible)}. Correct it, or pixel_format."
            )
        name = choose_format(config.pixel_format, offered) if wanted is None else wanted
        if name is None or name not in offered:
            raise CameraError(
                f"{self._label}: found the pixel formats {', '.join(offered)}; expected "
                f"{wanted or 'one of ' + ', '.join(convertible)}. Set another device_pixel_format or "
                "pixel_format."
            )
        if self._nodes.value("PixelFormat") != name:
            self._set("device_pixel_format", "PixelFormat", name)
        return name

    def set_rate(self, rate_hz: float | None, source: str) -> None:
        """The rate of a freely running camera; None leaves it unlimited."""
        if rate_hz is not None and source != "freerun":
            raise CameraError(
                f"{self._label}: rate_hz: found {rate_hz} with trigger source {source!r}, "
                "expected it only with 'freerun'. Remove rate_hz."
            )
        self.set_if_present("AcquisitionFrameRateEnable", rate_hz is not None)
        if rate_hz is not None:
            self.set_number("rate_hz", rate_hz, "AcquisitionFrameRate", "AcquisitionFrameRateAbs")

    def set_number(self, key: str, value: float, *names: str) -> None:
        """Set the first feature of `names` that the device has, within the device's own limits."""
        name = next(filter(self._nodes.writable, names), None)
        if name is None:
            raise CameraError(
                f"{self._label}: {key}: found {value}, but the device has no writable "
                f"{' or '.join(names)}. Remove {key}."
            )
        limits = self._nodes.limits(name)
        if value not in limits:
            raise CameraError(
                f"{self._label}: {key}: found {value}, expected {limits} (the device's {name}). "
                f"Correct {key}."
            )
        self._set(key, name, value)

    def set_if_present(self, name: str, value: Value) -> None:
        """Set a feature that not every camera has."""
        if self._nodes.writable(name):
            self._set(name, name, value)

    def set_trigger(self, config: DeviceCameraConfig) -> None:
        """Trigger each frame from the configured source, or let the camera run freely."""
        self._switch_triggers_off()
        source = config.trigger.source
        if source == "freerun":
            return
        key = "trigger_line" if source == "line" else "trigger.source"
        wanted = {"line": config.trigger_line, "encoder": ENCODER}.get(source, "Software")
        offered = self._nodes.symbolics("TriggerSource") if self._nodes.readable("TriggerSource") else ()
        if wanted not in offered:
            raise CameraError(
                f"{self._label}: found the trigger sources {', '.join(offered) or 'none'}; expected "
                f"{wanted}. Set another {key}."
            )
        self._set(key, "TriggerSource", wanted)
        if source == "encoder":
            self._set("trigger.encoder_counts", "EncoderDivider", config.trigger.encoder_counts or 1)
        if source == "line":
            self._set("trigger_edge", "TriggerActivation", f"{config.trigger_edge.capitalize()}Edge")
        self._set(key, "TriggerMode", "On")

    def _switch_triggers_off(self) -> None:
        """All of them, a frame's start last: one left on would keep the camera waiting for ever."""
        has_selector = self._nodes.writable("TriggerSelector")
        kinds = self._nodes.symbolics("TriggerSelector") if has_selector else ()
        for kind in sorted(kinds, key="FrameStart".__eq__):
            self._set("trigger", "TriggerSelector", kind)
            self.set_if_present("TriggerMode", "Off")
        if not kinds:
            self.set_if_present("TriggerMode", "Off")

    @property
    def exposure_us(self) -> float:
        """As the device has it, 0 if it does not say."""
        return self.number("ExposureTime", "ExposureTimeAbs") or 0.0

    def number(self, *names: str) -> float | None:
        """The value of the first feature that can be read, None if there is none."""
        name = next(filter(self._nodes.readable, names), None)
        return None if name is None else float(self._nodes.value(name))

    def _set(self, key: str, name: str, value: Value) -> None:
        try:
            self._nodes.set(name, value)
        except FeatureError as error:
            raise CameraError(
                f"{self._label}: {key}: found {value!r}, which the device refuses: {error}"
            ) from error


def _from_first_change(before: Mapping[str, Value], features: Mapping[str, Value]) -> dict[str, Value]:
    """The features that are to be set again, in their order."""
    old = list(before.items())
    items = enumerate(features.items())
    return dict(item for _, item in dropwhile(lambda at: at[0] < len(old) and old[at[0]] == at[1], items))
