"""Which V4L2 cameras are there, and the one that the configuration means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cameras import v4l2_abi as abi
from pipeline.cameras.camera import CameraError, FoundCamera

if TYPE_CHECKING:
    from pipeline.camera_config import V4l2CameraConfig

SYSFS = Path("/sys/class/video4linux")


def find_cameras(sysfs: Path = SYSFS) -> list[FoundCamera]:
    """Every device file that delivers pictures; one that may not be opened is listed with a note."""
    if not sysfs.is_dir():
        return []
    entries = sorted(sysfs.glob("video*"), key=lambda entry: (len(entry.name), entry.name))
    return [found for entry in entries if (found := _look_at(entry)) is not None]


def select_path(config: V4l2CameraConfig, sysfs: Path = SYSFS) -> str:
    """The device file of the camera that the configuration means, links resolved.

    Raises:
        CameraError: none or more than one fits; the message lists what was found.
    """
    if config.device is not None:
        return os.path.realpath(config.device)
    found = find_cameras(sysfs)
    fitting = [camera for camera in found if config.serial in (None, camera.serial)]
    if len(fitting) == 1:
        return fitting[0].address
    listed = [f"{camera.model} ({camera.address}, serial {camera.serial!r})" for camera in found]
    wanted = f" with serial {config.serial!r}" if config.serial is not None else ""
    raise CameraError(
        f"V4L2 camera {config.name}: found {', '.join(listed) or 'no camera'}; expected exactly one{wanted}. "
        "Check the cable, or set `serial` or `device` to one that was found."
    )


def capabilities(device: abi.Device) -> tuple[abi.Capability, int]:
    """What an opened device says of itself, and what this one of its files can do.

    Raises:
        OSError: it is no V4L2 device, or is gone.
    """
    said = device.ask(abi.VIDIOC_QUERYCAP, abi.Capability())
    by_file = said.capabilities & abi.CAP_DEVICE_CAPS
    return said, int(said.device_caps if by_file else said.capabilities)


def _look_at(entry: Path) -> FoundCamera | None:
    address = f"/dev/{entry.name}"
    usb = (entry / "device").resolve().parent  # the interface's parent is the USB device
    vendor, serial = _text(usb / "manufacturer"), _text(usb / "serial")
    try:
        with abi.Device(address) as device:
            said, can = capabilities(device)
    except OSError as error:
        model = _text(entry / "name")
        return FoundCamera(
            kind="v4l2", vendor=vendor, model=model, serial=serial, address=address, note=str(error.strerror)
        )
    if not can & abi.CAP_VIDEO_CAPTURE:
        return None  # a file for metadata, output, or planes apart
    return FoundCamera(kind="v4l2", vendor=vendor, model=said.card.decode(), serial=serial, address=address)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
