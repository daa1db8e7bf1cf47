"""GenTL producers, the devices behind them, and their features: GenApi over the device's own description."""

from __future__ import annotations

import io
import os
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from pipeline.cameras.camera import CameraError, FoundCamera
from pipeline.cameras.nodes import FeatureError, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cameras.nodes import Value

PRODUCER_PATH = (
    "GENICAM_GENTL64_PATH"  # the GenTL standard's own: directories in which producers are installed
)
UPDATE_MS = 1_000
MAX_DESCRIPTION_BYTES = 32 * 2**20
_NOT_IN_USE = (0, 1)  # access status unknown, or readable and writable; 2 and more: somebody has it


def load_genicam() -> tuple[Any, Any]:
    """The modules `genicam.gentl` and `genicam.genapi`.

    Raises:
        CameraError: genicam is not installed.
    """
    try:
        from genicam import genapi, gentl
    except ImportError as error:
        raise CameraError(
            f"A camera of kind genicam needs the package genicam, found none ({error}). Install "
            "hlgfa-line[genicam]."
        ) from error
    return gentl, genapi


def installed_producers() -> list[str]:
    """The producers of this machine, as their installers announce them by `GENICAM_GENTL64_PATH`."""
    directories = filter(None, os.environ.get(PRODUCER_PATH, "").split(os.pathsep))
    return sorted(str(file) for directory in directories for file in Path(directory).glob("*.cti"))


def list_devices(producers: Sequence[str]) -> list[tuple[FoundCamera, Any]]:
    """What is behind the producers: each device, and the GenTL module `DeviceInfo` that opens it.

    Raises:
        CameraError: genicam is not installed, or a producer cannot be loaded.
    """
    devices = []
    for path in producers:
        for interface in _interfaces(path):
            interface.update_device_info_list(UPDATE_MS)
            devices += [(_found(info), info) for info in interface.device_info_list]
    return devices


def information(module: Any, name: str, default: Any) -> Any:
    """What a GenTL module says of itself; `default` if its producer does not support that."""
    gentl, _ = load_genicam()
    try:
        return getattr(module, name)
    except gentl.GenericException:
        return default


def _found(info: Any) -> FoundCamera:
    return FoundCamera(
        kind="genicam",
        vendor=information(info, "vendor", ""),
        model=information(info, "model", ""),
        serial=information(info, "serial_number", ""),
        user_id=information(info, "user_defined_name", ""),
        note="" if information(info, "access_status", 0) in _NOT_IN_USE else "in use",
    )


@cache
def _interfaces(path: str) -> list[Any]:
    """The opened interfaces of a producer, for good: a process may open a producer only once."""
    gentl, _ = load_genicam()
    producer = gentl.GenTLProducer.create_producer()
    try:
        producer.open(path)
        system = producer.create_system()
        system.open()
        system.update_interface_info_list(UPDATE_MS)
        interfaces = [info.create_interface() for info in system.interface_info_list]
        for interface in interfaces:
            interface.open()
    except gentl.GenericException as error:
        raise CameraError(
            f"The GenTL producer {path} cannot be loaded: {reason(error)}. Correct `producers`, or install "
            "it for this architecture."
        ) from error
    return interfaces


def reason(error: Exception) -> str:
    """One line of an SDK's exception."""
    text = str(error).removeprefix("GenTL exception: ")
    return text.partition(" (ID:")[0].partition(" : ")[0].strip()


def connect_nodes(device: Any) -> Any:
    """The GenApi node map of an opened device, from the description that the device itself carries."""
    _, genapi = load_genicam()
    port = device.remote_port
    nodes = genapi.NodeMap()
    nodes.load_xml_from_string(_description(port))
    nodes.connect(_as_port(port), port.name)
    return nodes


def _description(port: Any) -> str:
    """The device's XML. Its URL is `local:NAME;ADDRESS;SIZE` in hexadecimal, or `file:`; it may be zipped."""
    scheme, _, rest = port.url_info_list[0].url.partition(":")
    if scheme.lower() == "local":
        _, address, size = rest.partition("?")[0].split(";")
        data = bytes(port.read(int(address, 16), min(int(size, 16), MAX_DESCRIPTION_BYTES))[1])
    elif scheme.lower() == "file":
        data = Path(unquote(urlparse(f"file:{rest.partition('?')[0]}").path)).read_bytes()
    else:
        raise CameraError(f"found the description of the device at {scheme}:{rest}, expected local: or file:")
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(archive.namelist()[0]) as packed:
            data = packed.read(MAX_DESCRIPTION_BYTES + 1)
    if len(data) > MAX_DESCRIPTION_BYTES:
        raise CameraError(f"found a description of the device above {MAX_DESCRIPTION_BYTES} bytes.")
    return data.rstrip(b"\0").decode("utf-8")


def _as_port(port: Any) -> Any:
    """The GenTL port as GenApi wants it: the class exists only once genicam is imported."""
    _, genapi = load_genicam()

    class Port(genapi.AbstractPort):  # type: ignore[misc, name-defined]
        def read(self, address: int, length: int) -> Any:
            return port.read(address, length)[1]

        def write(self, address: int, value: Any) -> None:
            port.write(address, value)

        def get_access_mode(self) -> Any:
            return genapi.EAccessMode.RW

    return Port()


class GenicamNodes:
    """`pipeline.cameras.nodes.NodeMap` over a GenApi node map."""

    def __init__(self, nodes: Any) -> None:
        _, self._genapi = load_genicam()
        self._nodes = nodes

    def readable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be read."""
        return self._nodes.has_node(name) and bool(self._genapi.is_readable(self._nodes.get_node(name)))

    def writable(self, name: str) -> bool:
        """Whether the device has the feature and lets it be set now."""
        return self._nodes.has_node(name) and bool(self._genapi.is_writable(self._nodes.get_node(name)))

    def value(self, name: str) -> Value:
        """What the feature is set to."""
        return self._nodes.get_node(name).value  # type: ignore[no-any-return]

    def set(self, name: str, value: Value) -> None:
        """Set the feature, if the value is of its type."""
        try:
            self._nodes.get_node(name).value = value
        except (self._genapi.GenericException, TypeError, AttributeError) as error:
            raise FeatureError(reason(error)) from error

    def limits(self, name: str) -> Limits:
        """What a feature that is a number may be set to now."""
        node = self._nodes.get_node(name)
        return Limits(node.min, node.max, node.inc if isinstance(node, self._genapi.IInteger) else None)

    def symbolics(self, name: str) -> tuple[str, ...]:
        """The values that an enumeration offers now."""
        return tuple(self._nodes.get_node(name).symbolics)

    def execute(self, name: str) -> None:
        """Run a command."""
        self._nodes.get_node(name).execute()
