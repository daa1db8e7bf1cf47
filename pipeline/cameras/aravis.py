"""GigE Vision and USB3 Vision cameras of any make, through Aravis, whose fake camera stands in in tests."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.aravis_device import AravisNodes, discover, load_aravis, open_device
from pipeline.cameras.camera import CameraInfo
from pipeline.cameras.device import BACKLOG_FRAMES, DeviceCamera, Grab, convert, label, lost
from pipeline.cameras.features import DeviceFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.camera_config import AravisCameraConfig, DeviceCameraConfig

__all__ = ["AravisCamera", "discover"]
_log = logging.getLogger(__name__)
_BUFFERS = BACKLOG_FRAMES + 2  # a frame arrives while one is read
_CLOSE_S, _LAST_WORDS_S = 1.0, 30.0
_UNSAID = 0
_CONTROL_PRIVILEGE = 0x0A00
"""Bootstrap register of GigE Vision: who controls the device."""
_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


class AravisCamera(DeviceCamera):
    """A camera on the network or on USB; see `DeviceCamera` for what its frames say.

    A frame that has lost packets is incomplete. If the camera is gone, GigE Vision notices within 6 s;
    until then `read` gives no frame and `trigger` may block for 2.5 s.

    Raises:
        CameraError: no such camera, in use elsewhere, or a setting that it refuses.
    """

    def __init__(self, config: AravisCameraConfig, *, camera_epoch: int = 0) -> None:
        super().__init__(config, AravisGrabber(config), camera_epoch=camera_epoch)


class AravisGrabber:
    """An Aravis camera and its stream, armed; `info` is what was opened."""

    def __init__(self, config: AravisCameraConfig) -> None:
        self._label = label("aravis", config.name)
        self._aravis, self._glib = load_aravis()
        self._newest_only = config.trigger.source == "freerun"
        self._gone = Event()
        self._stream: Any = None
        self._lost_handler: int | None = None
        self._camera: Any = open_device(self._label, config)
        try:
            with self._explained("be opened"):
                self._arm(config)
        except BaseException:
            self.close()
            raise

    def trigger(self) -> int:
        """Have the device take one frame; the host's monotonic time of that in ns."""
        with self._explained("be triggered"):
            triggered_ns = time.monotonic_ns()
            self._camera.get_device().execute_command("TriggerSoftware")
        return triggered_ns

    def grab(self, timeout_s: float) -> Grab | None:
        """The next buffer, the newest one with trigger source `freerun`; None if none came in time."""
        buffer, replaced = self._next(timeout_s), 0
        if buffer is not None and self._newest_only:
            buffer, replaced = self._newest(buffer, timeout_s)
        received_ns = time.monotonic_ns()
        if buffer is None:
            if self._gone.is_set():
                raise lost(self._label, "be read", "the connection was lost")
            return None
        try:
            return Grab(
                raw_frame_id=self._frame_id(buffer),
                timestamp_ns=buffer.get_timestamp(),
                received_ns=received_ns,
                pixels=self._pixels(buffer),
                replaced=replaced,
            )
        finally:
            self._give_back(buffer)  # also an incomplete one: kept back, it would starve the stream

    def adjust(self, before: DeviceCameraConfig, config: DeviceCameraConfig) -> float | None:
        """Set what differs while it runs, see `Grabber`."""
        with self._explained("be set"):
            return DeviceFeatures(self._label, AravisNodes(self._camera.get_device())).adjust(before, config)

    def probe(self) -> None:
        """Read a register that every GigE Vision device has; USB tells by itself when a device is gone."""
        camera = self._camera
        if self._gone.is_set():
            raise lost(self._label, "be read", "the connection was lost")
        if camera is not None and camera.is_gv_device():
            with self._explained("be read"):
                camera.get_device().read_register(_CONTROL_PRIVILEGE)

    def close(self) -> None:
        """Disarm and release the device.

        Where it does not answer any more that takes 5 s and more: a thread does it, and is not waited for
        longer than `_CLOSE_S`.
        """
        worker = Thread(target=self._tear_down, name=f"close-{self._label}", daemon=True)
        worker.start()
        worker.join(_CLOSE_S)

    def _tear_down(self) -> None:
        device = self._camera.get_device()
        if self._lost_handler is not None:
            device.disconnect(self._lost_handler)
        if not self._gone.is_set():
            self._disarm()
        self._stream = None  # first: its thread uses the device; each ends when nobody refers to it
        self._camera = None
        # Whoever lets go of the device last ends its heartbeat thread, and waits for that: if it is this very
        # thread, which refers to the device while it tells of the loss, GLib ends the process.
        end_s = time.monotonic() + _LAST_WORDS_S
        while device.__grefcount__ > 1 and time.monotonic() < end_s:
            time.sleep(0.01)

    def _disarm(self) -> None:
        """Leave the device to others, even while an exception's traceback still refers to it."""
        with suppress(self._glib.Error):
            if self._stream is not None:
                self._camera.stop_acquisition()
            if self._camera.is_gv_device():
                self._camera.get_device().leave_control()

    def _arm(self, config: AravisCameraConfig) -> None:
        nodes = AravisNodes(self._camera.get_device())
        with suppress(self._glib.Error):  # who controlled it before may have died and left it running
            self._camera.stop_acquisition()
        features = DeviceFeatures(self._label, nodes)
        self._device_format = features.apply(config)
        self.exposure_us = features.exposure_us
        self.info = self._identify(config)
        if self._camera.is_gv_device():
            self._prepare_network(config)
        stream = self._camera.create_stream(None, None)
        if self._camera.is_gv_device():
            self._tune(stream, config)
        gone = self._gone  # the device holds what it calls: not this object, which holds the device
        device = self._camera.get_device()
        self._lost_handler = device.connect("control-lost", lambda _device: gone.set())
        payload_bytes = self._camera.get_payload()
        for _ in range(_BUFFERS):
            stream.push_buffer(self._aravis.Buffer.new_allocate(payload_bytes))
        self._stream = stream
        self._camera.start_acquisition()

    def _identify(self, config: AravisCameraConfig) -> CameraInfo:
        vendor, model = self._camera.get_vendor_name(), self._camera.get_model_name()
        return CameraInfo(
            name=config.name,
            kind="aravis",
            vendor=vendor,
            model=model,
            serial=self._camera.get_device_serial_number(),
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=(vendor, model) == ("Aravis", "Fake"),
        )

    def _prepare_network(self, config: AravisCameraConfig) -> None:
        option, adjustment = self._aravis.GvStreamOption, self._aravis.GvPacketSizeAdjustment
        self._camera.gv_set_stream_options(
            option.NONE if config.packet_socket else option.PACKET_SOCKET_DISABLED
        )
        if config.packet_size_bytes is not None:  # else Aravis looks for one that passes, if need be
            self._camera.gv_set_packet_size_adjustment(adjustment.NEVER)

    def _tune(self, stream: Any, config: AravisCameraConfig) -> None:
        resend = self._aravis.GvStreamPacketResend
        stream.set_properties(
            packet_resend=resend.ALWAYS if config.packet_resend == "always" else resend.NEVER,
            packet_timeout=round(config.packet_timeout_ms * 1e3),
            frame_retention=round(config.frame_retention_ms * 1e3),
            socket_buffer=self._aravis.GvStreamSocketBuffer.FIXED,
            socket_buffer_size=config.socket_buffer_bytes,
        )
        self._warn_of_limit(config.socket_buffer_bytes)

    def _warn_of_limit(self, wanted_bytes: int) -> None:
        """Say if the kernel grants a smaller socket buffer: it does so in silence."""
        with suppress(OSError):  # not to be seen in a network namespace
            allowed_bytes = int(_RMEM_MAX.read_text())
            if allowed_bytes < wanted_bytes:
                _log.warning(
                    "%s: socket_buffer_bytes: found a limit of %d in net.core.rmem_max, expected %d. Frames "
                    "may lose packets. Run: sysctl -w net.core.rmem_max=%d",
                    *(self._label, allowed_bytes, wanted_bytes, wanted_bytes),
                )

    def _next(self, timeout_s: float) -> Any:
        return self._stream.timeout_pop_buffer(max(0, round(timeout_s * 1e6)))

    def _newest(self, buffer: Any, timeout_s: float) -> tuple[Any, int]:
        """The newest that waits, and how many others; if all wait, none was left for it: the next to come."""
        waiting = 1
        while (newer := self._stream.try_pop_buffer()) is not None:
            self._give_back(buffer)
            buffer = newer
            waiting += 1
        if waiting < _BUFFERS:
            return buffer, waiting - 1
        self._give_back(buffer)
        return self._next(timeout_s), waiting

    def _give_back(self, buffer: Any) -> None:
        # Of a frame that lost its first packet, Aravis would say number and time of the buffer's last frame.
        buffer.set_frame_id(_UNSAID)
        buffer.set_timestamp(_UNSAID)
        self._stream.push_buffer(buffer)

    def _complete(self, buffer: Any) -> bool:
        return bool(buffer.get_status() == self._aravis.BufferStatus.SUCCESS)

    def _frame_id(self, buffer: Any) -> int | None:
        raw = int(buffer.get_frame_id())
        return raw if raw != _UNSAID or self._complete(buffer) else None

    def _pixels(self, buffer: Any) -> NDArray[np.uint8] | None:
        """A copy of the image, converted to the line's format; None if it is incomplete."""
        if not self._complete(buffer):
            return None
        data = np.frombuffer(buffer.get_image_data(), np.uint8)
        shape = (buffer.get_image_height(), buffer.get_image_width())
        padding = buffer.get_image_padding().x_padding
        return convert(self._label, data, self._device_format, shape, padding)

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn Aravis' exceptions into ours."""
        try:
            yield
        except self._glib.Error as error:
            raise lost(self._label, action, error.message) from error
