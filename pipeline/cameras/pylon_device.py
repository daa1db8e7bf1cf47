"""Finding one Basler camera, and its features."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pipeline.cameras.camera import CameraError, FoundCamera
from pipeline.cameras.nodes import FeatureError, Limits

if TYPE_CHECKING:
    from pipeline.cameras.nodes import Value


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


def discover() -> list[FoundCamera]:
    """The Basler cameras that answer; the emulator's only if PYLON_CAMEMU asks for them.

    Raises:
        CameraError: pypylon is not installed.
    """
    pylon, _ = load_pypylon()
    factory = pylon.TlFactory.GetInstance()
    return [found_camera(pylon, device) for device in factory.EnumerateDevices()]


def found_camera(pylon: Any, device: Any) -> FoundCamera:
    """What a `DeviceInfo` says."""
    free = pylon.TlFactory.GetInstance().IsDeviceAccessible(device)
    return FoundCamera(
        kind="pylon",
        vendor=device.GetVendorName(),
        model=device.GetModelName(),
        serial=device.GetSerialNumber(),
        user_id=device.GetUserDefinedName(),
        address=device.GetIpAddress() if device.IsIpAddressAvailable() else "",
        note="" if free else "in use",
    )


class PylonNodes:
    """`pipeline.cameras.nodes.NodeMap` over an open `InstantCamera`."""

    def __init__(self, device: Any) -> None:
        _, self._genicam = load_pypylon()
        self._nodes = device.GetNodeMap()

    def readable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be read."""
        node = self._nodes.GetNode(name)
        return node is not None and bool(self._genicam.IsReadable(node))

    def writable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be set now."""
        node = self._nodes.GetNode(name)
        return node is not None and bool(self._genicam.IsWritable(node))

    def value(self, name: str) -> Value:
        """What the feature is set to."""
        return self._nodes.GetNode(name).Value  # type: ignore[no-any-return]

    def set(self, name: str, value: Value) -> None:
        """Set the feature, if the value is of its type."""
        try:
            self._nodes.GetNode(name).Value = value
        except (self._genicam.GenericException, TypeError) as error:
            raise FeatureError(str(error).partition(" : ")[0]) from error

    def limits(self, name: str) -> Limits:
        """What a feature that is a number may be set to now."""
        node = self._nodes.GetNode(name)
        step = node.Inc if isinstance(node, self._genicam.IInteger) else None
        return Limits(node.Min, node.Max, step)

    def symbolics(self, name: str) -> tuple[str, ...]:
        """The values that an enumeration offers now."""
        return tuple(self._nodes.GetNode(name).Symbolics)

    def execute(self, name: str) -> None:
        """Run a command."""
        self._nodes.GetNode(name).Execute()
