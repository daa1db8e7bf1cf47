"""Finding and opening one camera with Aravis (GigE Vision, USB3 Vision), and its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cameras.camera import CameraError, FoundCamera
from pipeline.cameras.device import in_use
from pipeline.cameras.nodes import FeatureError, Limits
from pipeline.cameras.selection import listed, select

if TYPE_CHECKING:
    from pipeline.camera_config import AravisCameraConfig
    from pipeline.cameras.nodes import Value

NAMESPACE, VERSION = "Aravis", "0.8"
_TYPES = {"boolean": (bool,), "integer": (int,), "float": (int, float), "string": (str,)}


def load_aravis() -> tuple[Any, Any]:
    """The modules `Aravis` and `GLib` of PyGObject.

    Raises:
        CameraError: PyGObject or the Aravis library is not installed.
    """
    try:
        import gi

        gi.require_version(NAMESPACE, VERSION)
        from gi.repository import Aravis, GLib
    except (ImportError, ValueError) as error:  # ValueError: PyGObject is there, the library is not
        raise CameraError(
            f"A camera of kind aravis needs PyGObject and Aravis {VERSION}, found not both ({error}). "
            "Install hlgfa-line[aravis] and, on Debian, the package gir1.2-aravis-0.8."
        ) from error
    return Aravis, GLib


def discover() -> list[FoundCamera]:
    """The cameras that answer within a second; a broadcast to every network, and a look at USB.

    Aravis tells neither user ids nor whether a camera is in use.

    Raises:
        CameraError: PyGObject or the Aravis library is not installed.
    """
    aravis, _ = load_aravis()
    aravis.update_device_list()
    return [_found(aravis, index) for index in range(aravis.get_n_devices())]


def _found(aravis: Any, index: int) -> FoundCamera:
    return FoundCamera(
        kind="aravis",
        vendor=aravis.get_device_vendor(index) or "",
        model=aravis.get_device_model(index) or "",
        serial=aravis.get_device_serial_nbr(index) or "",
        address=aravis.get_device_address(index) or "",
        note=aravis.get_device_protocol(index) or "",
    )


def open_device(label: str, config: AravisCameraConfig) -> Any:
    """The one camera that the configuration means, opened exclusively: an `Aravis.Camera`.

    Raises:
        CameraError: there is no such camera, or somebody else controls it.
    """
    aravis, glib = load_aravis()
    name = config.address or config.user_id or _device_id(aravis, label, config.serial)
    try:
        camera = aravis.Camera.new(name)
        serial = camera.get_device_serial_number()
        controlled = not camera.is_gv_device() or camera.get_device().is_controller()
    except glib.Error as error:
        raise _cannot_be_opened(label, config, name, error.message) from error
    if config.serial not in (None, serial):
        raise CameraError(
            f"{label}: found the serial {serial!r} at {name}, expected {config.serial!r}. Correct `serial`, "
            "or remove `address` and `user_id`."
        )
    if not controlled:
        raise in_use(label, f"{camera.get_model_name()} (serial {serial!r})")
    return camera


def _device_id(aravis: Any, label: str, serial: str | None) -> str:
    found = discover()
    wanted = {"serial": serial, "user_id": None, "address": None}
    return str(aravis.get_device_id(select(label, wanted, found)))


def _cannot_be_opened(label: str, config: AravisCameraConfig, name: str, reason: str) -> CameraError:
    if "busy" in reason.lower() or "access-denied" in reason.lower():  # USB, GigE Vision
        return in_use(label, name)
    asked = "address" if config.address else "user_id"
    return CameraError(
        f"{label}: cannot open {name}: {reason}. Found {listed(discover())}. Check cable, power and network, "
        f"or set `{asked}` or `serial` to one that was found."
    )


class AravisNodes:
    """`pipeline.cameras.nodes.NodeMap` over an `Aravis.Device`.

    The node tells its type: `Aravis.Device` has one function for each, and checks no access by itself.
    """

    def __init__(self, device: Any) -> None:
        self._aravis, self._glib = load_aravis()
        self._device = device

    def readable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be read."""
        return self._access(name, self._aravis.GcAccessMode.RO)

    def writable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be set now."""
        return self._access(name, self._aravis.GcAccessMode.WO) and not self._node(name).is_locked()

    def value(self, name: str) -> Value:
        """What the feature is set to."""
        return getattr(self._device, f"get_{self._kind(name)}_feature_value")(name)  # type: ignore[no-any-return]

    def set(self, name: str, value: Value) -> None:
        """Set the feature, if the value is of its type."""
        kind = self._kind(name)
        if type(value) not in _TYPES[kind]:
            raise FeatureError(f"it takes a value of type {kind}")
        if self._is(name, "GcEnumeration") and value not in self.symbolics(name):
            raise FeatureError(f"it takes one of {', '.join(self.symbolics(name))}")
        if not isinstance(value, (str, bool)) and value not in self.limits(name):
            raise FeatureError(f"it takes {self.limits(name)}")
        try:
            getattr(self._device, f"set_{kind}_feature_value")(name, value)
        except self._glib.Error as error:
            raise FeatureError(error.message) from error

    def limits(self, name: str) -> Limits:
        """What a feature that is a number may be set to now."""
        if self._kind(name) == "float":
            return Limits(*self._device.get_float_feature_bounds(name))
        low, high = self._device.get_integer_feature_bounds(name)
        return Limits(low, high, self._device.get_integer_feature_increment(name))

    def symbolics(self, name: str) -> tuple[str, ...]:
        """The values that an enumeration offers now."""
        return tuple(self._device.dup_available_enumeration_feature_values_as_strings(name))

    def execute(self, name: str) -> None:
        """Run a command."""
        self._device.execute_command(name)

    def _node(self, name: str) -> Any:
        return self._device.get_feature(name)

    def _is(self, name: str, *classes: str) -> bool:
        return isinstance(self._node(name), tuple(getattr(self._aravis, cls) for cls in classes))

    def _access(self, name: str, mode: Any) -> bool:
        node = self._node(name)
        if node is None or not self._device.is_feature_available(name):
            return False
        return node.get_actual_access_mode() in (mode, self._aravis.GcAccessMode.RW)

    def _kind(self, name: str) -> str:
        if self._is(name, "GcEnumeration", "GcString"):  # an enumeration is also a GcInteger
            return "string"
        if self._is(name, "GcBoolean"):
            return "boolean"
        return "float" if self._is(name, "GcFloat") else "integer"
