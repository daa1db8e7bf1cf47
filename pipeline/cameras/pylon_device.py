"""Finding one Basler camera and setting its features; every refusal says what was found and expected."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pipeline.cameras.camera import CameraError

if TYPE_CHECKING:
    from pipeline.config import PylonCameraConfig
    from pipeline.frame import PixelFormat

# Device formats that give ours, best first: as it is, then what the SDK converts once per frame.
_DEVICE_FORMATS: dict[PixelFormat, tuple[str, ...]] = {
    "Mono8": ("Mono8",),
    "RGB8": (
        *("RGB8", "RGB8Packed", "BGR8", "BGR8Packed"),
        *("BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8", "YCbCr422_8"),
    ),
}
LINE_SOURCE = "Line1"


def load_pypylon() -> tuple[Any, Any]:
    """The modules `pypylon.pylon` and `pypylon.genicam`.

    Raises:
        CameraError: pypylon is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Its wrapper warns while it is imported; where warnings are errors, the interpreter crashes.
            warnings.simplefilter("ignore", DeprecationWarning)
            from pypylon import genicam, pylon
    except ImportError as error:
        raise CameraError(
            f"A camera of kind pylon needs pypylon, found none ({error}). Install hlgfa-line[pylon]."
        ) from error
    return pylon, genicam


def select_device(config: PylonCameraConfig, devices: list[Any]) -> Any:
    """The one device that the configuration means, of those that were found.

    Raises:
        CameraError: none or more than one fits; the message lists what was found.
    """
    fitting = [
        device
        for device in devices
        if config.serial in (None, device.GetSerialNumber())
        and config.user_id in (None, device.GetUserDefinedName())
    ]
    if len(fitting) == 1:
        return fitting[0]
    asked = {"serial": config.serial, "user_id": config.user_id}
    wanted = " and ".join(f"{key} {value!r}" for key, value in asked.items() if value is not None)
    found = [
        f"{device.GetModelName()} (serial {device.GetSerialNumber()!r}, "
        f"user_id {device.GetUserDefinedName()!r})"
        for device in devices
    ]
    raise CameraError(
        f"Pylon camera {config.name}: found {', '.join(found) or 'no Basler camera'}; expected exactly one"
        f"{' with ' + wanted if wanted else ''}. Check cable and power, or set `serial` or `user_id` to "
        "one that was found."
    )


class PylonFeatures:
    """The features of one opened device; `camera` names it in messages."""

    def __init__(self, name: str, device: Any, genicam: Any) -> None:
        self._name = name
        self._device = device
        self._genicam = genicam

    def apply(self, config: PylonCameraConfig) -> None:
        """Everything that the configuration says.

        Raises:
            CameraError: the device refuses a value.
        """
        for name, value in config.features.items():
            self.set_feature(name, value)
        self.check_size(config.width_px, config.height_px)
        self.set_pixel_format(config.pixel_format)
        if config.exposure_us is not None:
            self.set_if_present("ExposureAuto", "Off")
            self.set_number("exposure_us", config.exposure_us, ("ExposureTime", "ExposureTimeAbs"))
        if config.gain_db is not None:
            self.set_if_present("GainAuto", "Off")
            self.set_number("gain_db", config.gain_db, ("Gain",))
        source = config.trigger.source
        self.set_trigger({"software": "Software", "line": LINE_SOURCE, "freerun": None}[source])
        self.set_rate(config.rate_hz, source)

    def set_feature(self, name: str, value: bool | int | float | str) -> None:
        """Set any feature by the device's own name for it.

        Raises:
            CameraError: the device has no such writable feature, or refuses the value.
        """
        node = self._writable(name)
        if node is None:
            raise CameraError(
                f"Pylon camera {self._name}: features: found {name!r}, which this device lacks or has "
                "locked. Remove it, or move it behind the feature that unlocks it."
            )
        try:
            node.Value = value
        except (self._genicam.GenericException, TypeError) as error:
            reason = str(error).partition(" : ")[0]
            raise CameraError(
                f"Pylon camera {self._name}: features.{name}: found {value!r}, which the device refuses: "
                f"{reason}"
            ) from error

    def set_rate(self, rate_hz: float | None, source: str) -> None:
        """The rate of a freely running camera; None leaves it unlimited."""
        self.set_if_present("AcquisitionFrameRateEnable", rate_hz is not None)
        if rate_hz is None:
            return
        if source != "freerun":
            raise CameraError(
                f"Pylon camera {self._name}: rate_hz: found {rate_hz} with trigger source {source!r}, "
                "expected it only with 'freerun'. Remove rate_hz."
            )
        self.set_number("rate_hz", rate_hz, ("AcquisitionFrameRate", "AcquisitionFrameRateAbs"))

    def check_size(self, width_px: int, height_px: int) -> None:
        """Refuse another region of interest than the configured one; it is the camera's to set."""
        found = (self._device.Width.Value, self._device.Height.Value)
        if found != (width_px, height_px):
            raise CameraError(
                f"Pylon camera {self._name}: found a region of {found[0]} x {found[1]} px, expected "
                f"{width_px} x {height_px}. Set Width, Height and the offsets in the camera's start-up "
                "user set, or correct width_px and height_px."
            )

    def set_pixel_format(self, pixel_format: PixelFormat) -> None:
        """Make the device deliver `pixel_format`, or what can be converted to it."""
        offered = self._device.PixelFormat.Symbolics
        for name in _DEVICE_FORMATS[pixel_format]:
            if name in offered:
                self._device.PixelFormat.Value = name
                return
        raise CameraError(
            f"Pylon camera {self._name}: found the pixel formats {', '.join(offered)}; expected one of "
            f"{', '.join(_DEVICE_FORMATS[pixel_format])}. Set another pixel_format."
        )

    def set_number(self, key: str, value: float, names: tuple[str, ...]) -> None:
        """Set the first feature of `names` that the device has, within the device's own limits."""
        for name in names:
            node = self._writable(name)
            if node is None:
                continue
            if not node.Min <= value <= node.Max:
                raise CameraError(
                    f"Pylon camera {self._name}: {key}: found {value}, expected {node.Min} to {node.Max} "
                    f"(the device's {name})."
                )
            node.Value = value
            return
        raise CameraError(
            f"Pylon camera {self._name}: {key}: found {value}, but the device has no writable "
            f"{' or '.join(names)}. Remove {key}."
        )

    def set_if_present(self, name: str, value: Any) -> None:
        """Set a feature that not every camera has."""
        node = self._writable(name)
        if node is not None:
            node.Value = value

    def set_trigger(self, source: str | None) -> None:
        """Trigger each frame from `source`; None lets the camera run freely.

        The other triggers are switched off: one left on would keep the camera waiting for ever.
        """
        selector = self._writable("TriggerSelector")
        for kind in selector.Symbolics if selector is not None else ():
            selector.Value = kind
            self.set_if_present("TriggerMode", "Off")
        self.set_if_present("TriggerSelector", "FrameStart")
        if source is None:
            return
        offered = self._device.TriggerSource.Symbolics
        if source not in offered:
            raise CameraError(
                f"Pylon camera {self._name}: found the trigger sources {', '.join(offered)}; expected "
                f"{source}. Set another trigger source."
            )
        self._device.TriggerSource.Value = source
        if source == LINE_SOURCE:
            self._device.TriggerActivation.Value = "RisingEdge"
        self._device.TriggerMode.Value = "On"

    def number(self, *names: str) -> float | None:
        """The value of the first feature that can be read, None if there is none."""
        for name in names:
            node = self._device.GetNodeMap().GetNode(name)
            if node is not None and self._genicam.IsReadable(node):
                return float(node.Value)
        return None

    def _writable(self, name: str) -> Any:
        node = self._device.GetNodeMap().GetNode(name)
        return node if node is not None and self._genicam.IsWritable(node) else None
