"""Basler cameras through pypylon; Basler's own emulator (PYLON_CAMEMU) stands in for one in tests."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.device import BACKLOG_FRAMES, DeviceCamera, Grab, convert, in_use, label, lost
from pipeline.cameras.features import DeviceFeatures
from pipeline.cameras.pylon_device import PylonNodes, discover, found_camera, load_pypylon
from pipeline.cameras.selection import describe, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from pipeline.camera_config import DeviceCameraConfig, PylonCameraConfig

__all__ = ["PylonCamera", "discover"]
_READY_MS = 1_000
_NO_BLOCK_ID = 2**64 - 1
_EMULATOR_CLASS = "BaslerCamEmu"


class PylonCamera(DeviceCamera):
    """A Basler camera; see `DeviceCamera` for its frames. One that the SDK calls failed is incomplete.

    `configure` is called with the open `InstantCamera` before our own settings, to load a feature file or
    to give the emulator its images.

    Raises:
        CameraError: no such camera, in use elsewhere, or a setting that it refuses.
    """

    def __init__(
        self,
        config: PylonCameraConfig,
        *,
        camera_epoch: int = 0,
        configure: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(config, PylonGrabber(config, configure), camera_epoch=camera_epoch)


class PylonGrabber:
    """An `InstantCamera`, armed; `info` is what was opened."""

    def __init__(self, config: PylonCameraConfig, configure: Callable[[Any], None] | None) -> None:
        self._label = label("pylon", config.name)
        self._pylon, self._genicam = load_pypylon()
        self._device: Any = None
        try:
            with self._explained("be opened"):
                self.info = self._open(config)
                if configure is not None:
                    configure(self._device)
                self._arm(config)
        except BaseException:
            self.close()
            raise

    def trigger(self) -> int:
        """Have the device take one frame; the host's monotonic time of that in ns."""
        with self._explained("be triggered"):
            # A trigger before the device is ready is lost, also the first one after arming.
            ready = self._device.WaitForFrameTriggerReady(_READY_MS, self._pylon.TimeoutHandling_Return)
            triggered_ns = time.monotonic_ns()
            if ready:
                self._device.ExecuteSoftwareTrigger()
        if not ready:
            raise CameraError(
                f"{self._label}: not ready for a trigger within {_READY_MS} ms. "
                "Check that it is connected and that its exposure is shorter than the trigger period."
            )
        return triggered_ns

    def grab(self, timeout_s: float) -> Grab | None:
        """The next result, the newest one with trigger source `freerun`; None if none came in time."""
        with self._explained("be read"):
            result = self._device.RetrieveResult(
                max(0, round(timeout_s * 1000)), self._pylon.TimeoutHandling_Return
            )
            received_ns = time.monotonic_ns()
            try:
                if result.IsValid():
                    return self._read(result, received_ns)
            finally:
                result.Release()
            if not self._device.IsGrabbing() or self._device.IsCameraDeviceRemoved():
                raise lost(self._label, "be read", "it was removed or stopped")
        return None

    def adjust(self, before: DeviceCameraConfig, config: DeviceCameraConfig) -> float | None:
        """Set what differs while it runs, see `Grabber`."""
        with self._explained("be set"):
            return DeviceFeatures(self._label, PylonNodes(self._device)).adjust(before, config)

    def probe(self) -> None:
        """Ask the SDK, which asks the device at each heartbeat."""
        device = self._device
        if device is not None and device.IsCameraDeviceRemoved():
            raise lost(self._label, "be read", "it was removed")

    def close(self) -> None:
        """Stop and release the device, also after it was removed."""
        device, self._device = self._device, None
        if device is None:
            return
        for step in (device.StopGrabbing, device.Close, device.DestroyDevice):
            try:
                step()
            except self._genicam.GenericException:  # a removed device cannot be stopped, only forgotten
                continue

    def _open(self, config: PylonCameraConfig) -> CameraInfo:
        factory = self._pylon.TlFactory.GetInstance()
        devices = list(factory.EnumerateDevices())
        found = [found_camera(self._pylon, device) for device in devices]
        wanted = {"serial": config.serial, "user_id": config.user_id, "address": config.address}
        index = select(self._label, wanted, found)
        if found[index].note:
            raise in_use(self._label, describe(found[index]))
        self._device = self._pylon.InstantCamera(factory.CreateDevice(devices[index]))
        self._device.Open()
        return CameraInfo(
            name=config.name,
            kind="pylon",
            vendor=found[index].vendor,
            model=found[index].model,
            serial=found[index].serial,
            width_px=config.width_px,
            height_px=config.height_px,
            pixel_format=config.pixel_format,
            simulated=devices[index].GetDeviceClass() == _EMULATOR_CLASS,
        )

    def _arm(self, config: PylonCameraConfig) -> None:
        features = DeviceFeatures(self._label, PylonNodes(self._device))
        self._device_format = features.apply(config)
        self.exposure_us = features.exposure_us
        self._tick_hz = features.number("GevTimestampTickFrequency") or 1e9
        self._device.MaxNumBuffer.Value = BACKLOG_FRAMES
        newest_only = config.trigger.source == "freerun"
        self._device.StartGrabbing(
            self._pylon.GrabStrategy_LatestImageOnly if newest_only else self._pylon.GrabStrategy_OneByOne
        )

    def _read(self, result: Any, received_ns: int) -> Grab:
        complete = bool(result.GrabSucceeded())
        raw = int(result.BlockID)
        return Grab(
            raw_frame_id=raw if complete and raw != _NO_BLOCK_ID else None,
            timestamp_ns=round(int(result.TimeStamp) * (1e9 / self._tick_hz)) if complete else 0,
            received_ns=received_ns,
            pixels=self._pixels(result) if complete else None,
            replaced=int(result.GetNumberOfSkippedImages()),
        )

    def _pixels(self, result: Any) -> NDArray[np.uint8] | None:
        """A copy of the buffer, converted to the line's format."""
        data = np.frombuffer(result.GetBuffer(), np.uint8)
        shape = (result.Height, result.Width)
        return convert(self._label, data, self._device_format, shape, result.PaddingX)

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn the SDK's exceptions into ours."""
        try:
            yield
        except self._genicam.GenericException as error:
            raise lost(self._label, action, str(error).partition(" : ")[0]) from error
