"""Cameras of any make that come with a GenTL producer; genicam's own `viky.cti` stands in for one in tests.

The GenTL modules are used directly: harvesters, which is built on them, throws incomplete frames away.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.camera import CameraInfo, FoundCamera
from pipeline.cameras.device import BACKLOG_FRAMES, DeviceCamera, Grab, convert, in_use, label, lost
from pipeline.cameras.features import DeviceFeatures
from pipeline.cameras.genicam_device import (
    GenicamNodes,
    connect_nodes,
    information,
    installed_producers,
    list_devices,
    load_genicam,
    reason,
)
from pipeline.cameras.nodes import FeatureError
from pipeline.cameras.selection import describe, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.camera_config import DeviceCameraConfig, GenicamCameraConfig

_BUFFERS = BACKLOG_FRAMES + 2  # a frame arrives while one is read
_SLICE_MS = 5  # the binding keeps the interpreter to itself while it waits
_SIMULATED = ("Machine Vision Games Ltd.", "Viky")


def discover(producers: Sequence[str] | None = None) -> list[FoundCamera]:
    """The cameras behind the producers, by default those that GENICAM_GENTL64_PATH names.

    Raises:
        CameraError: genicam is not installed, or a producer cannot be loaded.
    """
    found = list_devices(installed_producers() if producers is None else producers)
    return [camera for camera, _ in found]


class GenicamCamera(DeviceCamera):
    """A camera behind a GenTL producer; see `DeviceCamera` for what its frames say.

    Whether and when a lost device is noticed is up to its producer.

    Raises:
        CameraError: no such camera, in use elsewhere, or a setting that it refuses.
    """

    def __init__(self, config: GenicamCameraConfig, *, camera_epoch: int = 0) -> None:
        super().__init__(config, GenicamGrabber(config), camera_epoch=camera_epoch)


class GenicamGrabber:
    """A device and its first stream, armed; `info` is what was opened."""

    def __init__(self, config: GenicamCameraConfig) -> None:
        self._label = label("genicam", config.name)
        self._gentl, self._genapi = load_genicam()
        self._newest_only = config.trigger.source == "freerun"
        self._undo = ExitStack()  # releases what was acquired, last first
        try:
            with self._explained("be opened"):
                device = self._open(config)
                nodes = self._connect(device)
                self._device_format = self._apply(config, nodes)
                self._arm(device, nodes)
        except BaseException:
            self.close()
            raise

    def trigger(self) -> int:
        """Have the device take one frame; the host's monotonic time of that in ns."""
        with self._explained("be triggered"):
            triggered_ns = time.monotonic_ns()
            self._nodes.execute("TriggerSoftware")
        return triggered_ns

    def grab(self, timeout_s: float) -> Grab | None:
        """The next buffer, the newest one with trigger source `freerun`; None if none came in time."""
        with self._explained("be read"):
            buffer, replaced = self._next(timeout_s), 0
            if buffer is not None and self._newest_only:
                buffer, replaced = self._newest(buffer, timeout_s)
            received_ns = time.monotonic_ns()
            if buffer is None:
                return None
            try:
                return Grab(
                    raw_frame_id=information(buffer, "frame_id", None),
                    timestamp_ns=information(buffer, "timestamp_ns", 0),
                    received_ns=received_ns,
                    pixels=self._pixels(buffer),
                    replaced=replaced,
                )
            finally:
                self._stream.queue_buffer(
                    buffer
                )  # also an incomplete one: kept back, it would starve the stream

    def adjust(self, before: DeviceCameraConfig, config: DeviceCameraConfig) -> float | None:
        """Set what differs while it runs, see `Grabber`."""
        with self._explained("be set"):
            return DeviceFeatures(self._label, self._nodes).adjust(before, config)

    def probe(self) -> None:
        """GenTL has no question for it, and a feature's answer may come from a cache."""

    def close(self) -> None:
        """Disarm and release the device."""
        self._undo.close()

    def _open(self, config: GenicamCameraConfig) -> Any:
        devices = list_devices(config.producers)
        found = [camera for camera, _ in devices]
        index = select(self._label, {"serial": config.serial, "user_id": config.user_id}, found)
        camera, module = devices[index]
        device = module.create_device()
        try:
            device.open(self._gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE)
        except (self._gentl.ResourceInUseException, self._gentl.AccessDeniedException) as error:
            raise in_use(self._label, describe(camera)) from error
        self._release_with(device.close)
        self.info = CameraInfo(
            name=config.name,
            kind="genicam",
            vendor=camera.vendor,
            model=camera.model,
            serial=camera.serial,
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=(camera.vendor, camera.model) == _SIMULATED,
        )
        return device

    def _connect(self, device: Any) -> GenicamNodes:
        node_map = connect_nodes(device)
        self._release_with(node_map.disconnect)
        return GenicamNodes(node_map)

    def _apply(self, config: GenicamCameraConfig, nodes: GenicamNodes) -> str:
        features = DeviceFeatures(self._label, nodes)
        device_format = features.apply(config)
        self.exposure_us = features.exposure_us
        return device_format

    def _arm(self, device: Any, nodes: GenicamNodes) -> None:
        stream = device.create_data_stream()
        stream.open(device.data_stream_ids[0])
        self._release_with(stream.close)
        event = self._gentl.EventManagerNewBuffer(
            stream.register_event(self._gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER)
        )
        self._release_with(event.unregister_event)
        self._announce(stream, nodes)
        if nodes.writable("TLParamsLocked"):
            nodes.set("TLParamsLocked", 1)
            self._release_with(lambda: nodes.set("TLParamsLocked", 0))
        stream.start_acquisition(self._gentl.ACQ_START_FLAGS_LIST.ACQ_START_FLAGS_DEFAULT, -1)
        self._release_with(
            lambda: stream.stop_acquisition(self._gentl.ACQ_STOP_FLAGS_LIST.ACQ_STOP_FLAGS_KILL)
        )
        nodes.execute("AcquisitionStart")
        self._release_with(lambda: nodes.execute("AcquisitionStop"))
        self._nodes, self._stream, self._event = nodes, stream, event

    def _announce(self, stream: Any, nodes: GenicamNodes) -> None:
        """Give the stream its buffers; the tokens own the memory that the producer writes to."""
        size = stream.payload_size if stream.defines_payload_size() else int(nodes.value("PayloadSize"))
        count = max(_BUFFERS, information(stream, "buffer_announce_min", 0))
        self._tokens = [self._gentl.BufferToken(bytes(size), index) for index in range(count)]
        for buffer in [stream.announce_buffer(token) for token in self._tokens]:
            self._release_with(partial(stream.revoke_buffer, buffer))
            stream.queue_buffer(buffer)
        discard = self._gentl.ACQ_QUEUE_TYPE_LIST.ACQ_QUEUE_ALL_DISCARD
        self._release_with(lambda: stream.flush_buffer_queue(discard))

    def _next(self, timeout_s: float) -> Any:
        until_s = time.monotonic() + timeout_s
        while True:
            left_ms = (until_s - time.monotonic()) * 1e3
            with suppress(self._gentl.TimeoutException):
                self._event.update_event_data(max(0, min(_SLICE_MS, round(left_ms))))
                return self._event.buffer
            if left_ms <= 0:
                return None

    def _newest(self, buffer: Any, timeout_s: float) -> tuple[Any, int]:
        """The newest that waits, and how many others; if all wait, none was left for it: the next to come."""
        waiting = 1
        while (newer := self._next(0)) is not None:
            self._stream.queue_buffer(buffer)
            buffer = newer
            waiting += 1
        if waiting < len(self._tokens):
            return buffer, waiting - 1
        self._stream.queue_buffer(buffer)
        return self._next(timeout_s), waiting

    def _pixels(self, buffer: Any) -> NDArray[np.uint8] | None:
        """A copy of the image, converted to the line's format; None if it is incomplete."""
        if not buffer.is_complete():
            return None
        data = np.frombuffer(buffer.raw_buffer, np.uint8, offset=information(buffer, "image_offset", 0))
        height_px = information(buffer, "height", self.info.height_px)
        width_px = information(buffer, "width", self.info.width_px)
        padding = information(buffer, "padding_x", 0)
        pixels = convert(self._label, data, self._device_format, (height_px, width_px), padding)
        return None if pixels is None else pixels.copy()  # the producer writes to the buffer again

    def _release_with(self, step: Callable[[], Any]) -> None:
        """Have `close` take this step, and go on if the device is gone and it fails."""

        def try_step() -> None:
            with suppress(self._gentl.GenericException, self._genapi.GenericException, FeatureError):
                step()

        self._undo.callback(try_step)

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn the exceptions of GenTL and GenApi into ours."""
        try:
            yield
        except (self._gentl.GenericException, self._genapi.GenericException, FeatureError) as error:
            raise lost(self._label, action, reason(error)) from error
