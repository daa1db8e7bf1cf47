"""Basler cameras through pypylon; Basler's own emulator (PYLON_CAMEMU) stands in for one in tests."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.cameras.counters import FrameCounter, HostClock
from pipeline.cameras.pylon_device import PylonFeatures, load_pypylon, select_device
from pipeline.frame import Frame, FrameHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.config import PylonCameraConfig

BACKLOG_FRAMES = 8
_READY_MS = 1_000
_NO_BLOCK_ID = 2**64 - 1
_EMULATOR_CLASS = "BaslerCamEmu"


class PylonCamera:
    """One Basler camera, opened exclusively and armed.

    `software`: a trigger while a frame is outstanding is not passed on (the device would drop it without a
    trace) but counted in `trigger_count`. `line`: rising edge of Line1, every frame, at most
    `BACKLOG_FRAMES` waiting; `freerun`: newest frame only. In both a gap in `frame_id` is a frame that the
    host did not get, if the device counts it: an overtriggered camera does not, watch its own counters.

    `exposed_ns` is the time of the trigger with `software`; else it is reckoned from the device's
    timestamps (or, without them, from the arrival) less the exposure time. A frame that the SDK calls
    failed is delivered with `complete=False`, black.

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
        self._config = config
        self._camera_epoch = camera_epoch
        self._pylon, self._genicam = load_pypylon()
        self._converter = self._pylon.ImageFormatConverter()
        self._converter.OutputPixelFormat = self._pylon.PixelType_RGB8packed
        self._device: Any = None
        self._counter, self._clock = FrameCounter(), HostClock()
        self._trigger_count = 0
        self._pending: tuple[int, int] | None = None  # when, and how many triggers up to it
        try:
            with self._explained("be opened"):
                self._info = self._open(configure)
                self._exposure_ns, self._tick_hz = self._arm()
        except CameraError:
            self.close()
            raise

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        return self._info

    def trigger(self) -> None:
        """Ask for one frame; counted but not passed on while one is outstanding."""
        device = self._opened()
        if self._config.trigger.source != "software":
            raise CameraError(
                f"Pylon camera {self._config.name} was asked for a software trigger, but its trigger source "
                f"is {self._config.trigger.source!r}. Set trigger.source to 'software'."
            )
        self._trigger_count += 1
        if self._pending is not None:
            return
        with self._explained("be triggered"):
            # A trigger before the device is ready is lost, also the first one after arming.
            ready = device.WaitForFrameTriggerReady(_READY_MS, self._pylon.TimeoutHandling_Return)
            triggered_ns = time.monotonic_ns()
            if ready:
                device.ExecuteSoftwareTrigger()
        if not ready:
            raise CameraError(
                f"Pylon camera {self._config.name}: not ready for a trigger within {_READY_MS} ms. "
                "Check that it is connected and that its exposure is shorter than the trigger period."
            )
        self._pending = (triggered_ns, self._trigger_count)

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came."""
        device = self._opened()
        with self._explained("be read"):
            result = device.RetrieveResult(
                max(0, round(timeout_s * 1000)), self._pylon.TimeoutHandling_Return
            )
            received_ns = time.monotonic_ns()
            try:
                if result.IsValid():
                    return self._frame(result, received_ns)
            finally:
                result.Release()
            if not device.IsGrabbing() or device.IsCameraDeviceRemoved():
                raise self._lost("be read", "it was removed or stopped")
        return None

    def probe(self) -> None:
        """Ask the SDK, which asks the device at each heartbeat."""
        device = self._device
        if device is not None and device.IsCameraDeviceRemoved():
            raise self._lost("be read", "it was removed")

    def close(self) -> None:
        """Stop and release the device; safe to call again, also after it was removed."""
        device, self._device = self._device, None
        if device is None:
            return
        for step in (device.StopGrabbing, device.Close, device.DestroyDevice):
            try:
                step()
            except self._genicam.GenericException:  # a removed device cannot be stopped, only forgotten
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, configure: Callable[[Any], None] | None) -> CameraInfo:
        factory = self._pylon.TlFactory.GetInstance()
        found = select_device(self._config, list(factory.EnumerateDevices()))
        self._device = self._pylon.InstantCamera(factory.CreateDevice(found))
        self._device.Open()
        if configure is not None:
            configure(self._device)
        return CameraInfo(
            name=self._config.name,
            kind="pylon",
            vendor=found.GetVendorName(),
            model=found.GetModelName(),
            serial=found.GetSerialNumber(),
            width_px=self._config.width_px,
            height_px=self._config.height_px,
            pixel_format=self._config.pixel_format,
            simulated=found.GetDeviceClass() == _EMULATOR_CLASS,
        )

    def _arm(self) -> tuple[int, float]:
        """Apply the configuration, start grabbing; the exposure time in ns and the device clock's rate."""
        features = PylonFeatures(self._config.name, self._device, self._genicam)
        features.apply(self._config)
        self._device.MaxNumBuffer.Value = BACKLOG_FRAMES
        newest_only = self._config.trigger.source == "freerun"
        self._device.StartGrabbing(
            self._pylon.GrabStrategy_LatestImageOnly if newest_only else self._pylon.GrabStrategy_OneByOne
        )
        exposure_us = features.number("ExposureTime", "ExposureTimeAbs") or 0.0
        return round(exposure_us * 1e3), features.number("GevTimestampTickFrequency") or 1e9

    def _frame(self, result: Any, received_ns: int) -> Frame:
        complete = bool(result.GrabSucceeded())
        raw = int(result.BlockID)
        timestamp_ns = round(int(result.TimeStamp) * (1e9 / self._tick_hz)) if complete else 0
        frame_id = self._number(raw if complete and raw != _NO_BLOCK_ID else None)
        pixels = self._pixels(result) if complete else self._black()
        header = FrameHeader(
            camera=self._config.name,
            frame_id=frame_id,
            raw_frame_id=0 if raw == _NO_BLOCK_ID else raw,
            camera_epoch=self._camera_epoch,
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            pixel_format=self._config.pixel_format,
            complete=complete,
            exposed_ns=self._exposed_ns(timestamp_ns, received_ns),
            received_ns=received_ns,
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=timestamp_ns,
            camera_clock="device" if timestamp_ns else "none",
            clock_drift_ppm=self._clock.drift_ppm,
            trigger_count=self._pending[1] if self._pending else None,
            simulated=self._info.simulated,
        )
        self._pending = None
        return Frame(header, pixels)

    def _number(self, raw: int | None) -> int:
        try:
            return self._counter.advance(raw)
        except ValueError as error:
            raise self._lost("be read", str(error)) from error

    def _exposed_ns(self, timestamp_ns: int, received_ns: int) -> int:
        if self._pending is not None:
            return self._pending[0]
        if timestamp_ns:
            received_ns = self._clock.to_host_ns(timestamp_ns, received_ns)
        return received_ns - self._exposure_ns

    def _pixels(self, result: Any) -> NDArray[np.uint8]:
        """A copy of the buffer, converted if the device's format is not ours: (H, W) or (H, W, 3)."""
        if self._config.pixel_format == "RGB8" and result.PixelType != self._pylon.PixelType_RGB8packed:
            return np.asarray(self._converter.Convert(result).GetArray(), np.uint8)
        return np.asarray(result.GetArray(), np.uint8)

    def _black(self) -> NDArray[np.uint8]:
        shape = (self._config.height_px, self._config.width_px, 3)
        return np.zeros(shape[:2] if self._config.pixel_format == "Mono8" else shape, np.uint8)

    def _opened(self) -> Any:
        if self._device is None:
            raise CameraError(f"Pylon camera {self._config.name} is closed. Open it again.")
        return self._device

    def _lost(self, action: str, reason: str) -> CameraError:
        return CameraError(
            f"Pylon camera {self._config.name} cannot {action}: {reason}. Check cable, power and that no "
            "other program has opened it, then open it again."
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn the SDK's exceptions into ours."""
        try:
            yield
        except self._genicam.GenericException as error:
            raise self._lost(action, str(error).partition(" : ")[0]) from error
