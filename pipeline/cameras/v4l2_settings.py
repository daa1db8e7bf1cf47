"""Setting one opened V4L2 device; every refusal says what was found and expected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pipeline.cameras import v4l2_abi as abi
from pipeline.cameras.camera import CameraError
from pipeline.cameras.changes import live_changes
from pipeline.cameras.v4l2_pixels import accepted_formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import V4l2CameraConfig

_RATE_TOLERANCE = 0.01
_EXPOSURE_UNIT_US = 100
_LIVE = frozenset({"exposure_us", "gain", "controls"})


class Layout(msgspec.Struct, frozen=True):
    """How the device lays a picture out: its format's four characters, the bytes of a row (0: none)."""

    name: str
    row_bytes: int


class V4l2Settings:
    """The settings of one opened device; `name` is the camera's, for messages.

    Raises (all methods):
        CameraError: the device does not offer what is configured.
        OSError: the device is gone or busy.
    """

    def __init__(self, name: str, device: abi.Device) -> None:
        self._name = name
        self._device = device

    def apply(self, config: V4l2CameraConfig) -> Layout:
        """Everything that the configuration says."""
        layout = self.set_format(config)
        if config.rate_hz is not None:
            self.set_rate(config.rate_hz)
        self._set_controls(config)
        return layout

    def adjust(self, before: V4l2CameraConfig, config: V4l2CameraConfig) -> bool:
        """Set what differs while pictures come; False if the camera has to be opened again for that."""
        if live_changes(before, config, _LIVE) is None:
            return False
        try:
            self._set_controls(config)
        except CameraError:
            return False  # opened again it takes it, or says why not
        return True

    def _set_controls(self, config: V4l2CameraConfig) -> None:
        controls = {_plain(control.name.decode()): control for control in self._controls()}
        for name, value in config.controls.items():
            control = controls.get(name)
            if control is None:
                raise self._error("controls", repr(name), f"one of {', '.join(controls) or 'none'}")
            self._set(control, value, f"controls.{name}", "")
        by_id = {int(control.id): control for control in controls.values()}
        if config.exposure_us is not None:
            self._set_exposure(by_id, config.exposure_us)
        if config.gain is not None:
            self._set_if_present(by_id, abi.CID_AUTOGAIN, 0)
            self._set_by_id(by_id, abi.CID_GAIN, config.gain, "gain", "")

    def set_format(self, config: V4l2CameraConfig) -> Layout:
        """The configured format, or the best that the device offers, at exactly the configured size."""
        offered = list(self._formats())
        accepted = accepted_formats(config.pixel_format)
        wanted = accepted if config.device_format is None else (config.device_format,)
        chosen = next((name for name in wanted if name in offered and name in accepted), None)
        if chosen is None:
            fitting = ", ".join(name for name in accepted if config.device_format is None or name in offered)
            raise self._error(
                "device formats", ", ".join(offered) or "none", f"for {config.pixel_format} {fitting}"
            )
        asked = abi.Format(
            type=abi.CAPTURE,
            width=config.width_px,
            height=config.height_px,
            pixelformat=abi.fourcc(chosen),
            field=abi.FIELD_NONE,
        )
        got = self._device.ask(abi.VIDIOC_S_FMT, asked)
        if (got.width, got.height) != (config.width_px, config.height_px):
            sizes = ", ".join(self._sizes(chosen)) or f"{got.width} x {got.height}"
            raise self._error("size", f"{config.width_px} x {config.height_px} px", f"with {chosen} {sizes}")
        if got.pixelformat != abi.fourcc(chosen):
            raise self._error("device format", abi.fourcc_text(got.pixelformat), chosen)
        return Layout(chosen, 0 if chosen == "MJPG" else int(got.bytesperline))

    def set_rate(self, rate_hz: float) -> None:
        """The rate of the pictures; a device takes its nearest one, which must be within 1 %."""
        asked = abi.StreamParameters(type=abi.CAPTURE, numerator=1_000, denominator=round(rate_hz * 1_000))
        got = self._device.ask(abi.VIDIOC_S_PARM, asked)
        found_hz = got.denominator / got.numerator if got.numerator else 0.0
        if abs(found_hz - rate_hz) > _RATE_TOLERANCE * rate_hz:
            raise self._error("rate_hz", f"{rate_hz:g}", f"what the device offers, next {found_hz:g}")

    def _set_exposure(self, controls: dict[int, abi.ControlDescription], exposure_us: float) -> None:
        self._set_if_present(controls, abi.CID_EXPOSURE_AUTO, abi.EXPOSURE_MANUAL)
        units = round(exposure_us / _EXPOSURE_UNIT_US)
        self._set_by_id(controls, abi.CID_EXPOSURE_ABSOLUTE, units, "exposure_us", " times 100 us")

    def _set_by_id(
        self, controls: dict[int, abi.ControlDescription], number: int, value: int, key: str, unit: str
    ) -> None:
        if number not in controls:
            raise self._error(key, "it set", "nothing, the device has no such control. Remove it")
        self._set(controls[number], value, key, unit)

    def _set_if_present(self, controls: dict[int, abi.ControlDescription], number: int, value: int) -> None:
        if number in controls:
            self._device.ask(abi.VIDIOC_S_CTRL, abi.Control(id=number, value=value))

    def _set(self, control: abi.ControlDescription, value: int, key: str, unit: str) -> None:
        if not control.minimum <= value <= control.maximum:
            raise self._error(key, f"{value}{unit}", f"{control.minimum} to {control.maximum}{unit}")
        got = self._device.ask(abi.VIDIOC_S_CTRL, abi.Control(id=control.id, value=value))
        if got.value != value:
            raise self._error(
                key, f"{value}{unit}", f"what the device takes as it is, next {got.value}{unit}"
            )

    def _formats(self) -> Iterator[str]:
        index = 0
        while True:
            asked = abi.FormatDescription(index=index, type=abi.CAPTURE)
            try:
                yield abi.fourcc_text(self._device.ask(abi.VIDIOC_ENUM_FMT, asked).pixelformat)
            except OSError:
                return  # that was the last one
            index += 1

    def _sizes(self, name: str) -> Iterator[str]:
        index = 0
        while True:
            asked = abi.FrameSize(index=index, pixel_format=abi.fourcc(name))
            try:
                size = self._device.ask(abi.VIDIOC_ENUM_FRAMESIZES, asked)
            except OSError:
                return
            if size.type != abi.FRAME_DISCRETE:
                smallest_w, largest_w, step_w, smallest_h, largest_h, step_h = size.values
                yield f"{smallest_w} to {largest_w} by {step_w} x {smallest_h} to {largest_h} by {step_h}"
                return
            yield f"{size.values[0]} x {size.values[1]}"
            index += 1

    def _controls(self) -> Iterator[abi.ControlDescription]:
        number = 0
        while True:
            asked = abi.ControlDescription(id=number | abi.CTRL_FLAG_NEXT_CTRL)
            try:
                control = self._device.ask(abi.VIDIOC_QUERYCTRL, asked)
            except OSError:
                return
            number = int(control.id)
            if not control.flags & (abi.CTRL_FLAG_DISABLED | abi.CTRL_FLAG_READ_ONLY):
                yield control

    def _error(self, what: str, found: str, expected: str) -> CameraError:
        return CameraError(f"V4L2 camera {self._name}: {what}: found {found}, expected {expected}.")


def _plain(name: str) -> str:
    """A control's name as `v4l2-ctl --list-ctrls` writes it: "White Balance, Auto" is white_balance_auto."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
