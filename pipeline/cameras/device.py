"""The camera protocol over a real device: what does not depend on the SDK exists once, here."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from pipeline.camera_config import DeviceSection
from pipeline.cameras.camera import CameraError, no_software_trigger
from pipeline.cameras.counters import FrameCounter, HostClock
from pipeline.cameras.pixels import PixelError, to_line_format
from pipeline.frame import CHANNELS, Frame, FrameHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from pipeline.camera_config import CameraConfig, DeviceCameraConfig
    from pipeline.cameras.camera import CameraInfo

BACKLOG_FRAMES = 8
TRIGGER_LIMIT_MS = 100
"""How long a device may take to confirm a software trigger. A command that is lost on the way is sent again,
by Aravis after 500 ms: the frame would show whatever passes then."""
SETTLE_S, LONGEST_STEP_S = 0.05, 1.0
SETTLED_FRAMES = 2
"""Of a camera that runs freely, whose next exposure may have begun before it took a setting."""
SLOWEST_BYTES_PER_S = 50e6
"""Half of what Gigabit Ethernet carries: how long a frame may be on its way after its exposure."""
_log = logging.getLogger(__name__)


class Grab(msgspec.Struct, frozen=True, kw_only=True):
    """One buffer of a device. `pixels`: uint8 (H, W) or (H, W, 3), None if the frame is incomplete.

    `raw_frame_id` is None if the device did not say; `timestamp_ns` is in its clock, 0 if it has none.
    `replaced` are older buffers that this newest one took the place of.
    """

    raw_frame_id: int | None
    timestamp_ns: int
    received_ns: int
    pixels: NDArray[np.uint8] | None
    replaced: int = 0


class Grabber(Protocol):
    """One opened and armed device; an SDK's own exceptions come out as `CameraError`.

    `exposure_us` is how it was opened.
    """

    info: CameraInfo
    exposure_us: float

    def trigger(self) -> int:
        """Have the device take one frame; the host's monotonic time of that in ns."""
        ...

    def grab(self, timeout_s: float) -> Grab | None:
        """The next buffer, the newest one with trigger source `freerun`; None if none came in time."""
        ...

    def adjust(self, before: DeviceCameraConfig, config: DeviceCameraConfig) -> float | None:
        """Set what differs while it runs; its `exposure_us` then, None if it has to be opened again."""
        ...

    def probe(self) -> None:
        """Ask the device whether it is still there, on another thread than the rest; may block."""
        ...

    def close(self) -> None:
        """Disarm and release the device, also one that is gone."""
        ...


class DeviceCamera:
    """A device, opened exclusively and armed.

    `software`: a trigger while a frame is outstanding is not passed on (a device would drop it without a
    trace) but counted in `trigger_count`. `line`: an edge on the trigger line; `encoder`: every so many
    counts; in both every frame, at most `BACKLOG_FRAMES` waiting. `freerun`: newest frame only. A gap in
    `frame_id` is a frame that the host did not get, if the device counts it: an overtriggered camera does
    not, watch its own counters.

    `exposed_ns` is the time of the trigger with `software`; else it is reckoned from the device's
    timestamps (or, without them, from the arrival) less the exposure time. An incomplete frame is delivered
    with `complete=False`, black; so is one whose trigger took longer than `TRIGGER_LIMIT_MS`: nobody knows
    when it was exposed.
    """

    def __init__(self, config: DeviceCameraConfig, grabber: Grabber, *, camera_epoch: int) -> None:
        self._info = grabber.info
        self._config = config
        self._source = config.trigger.source
        self._exposure_ns = round(grabber.exposure_us * 1e3)
        self._camera_epoch = camera_epoch
        self._grabber: Grabber | None = grabber
        self._counter, self._clock = FrameCounter(), HostClock()
        self._trigger_count = 0
        self._pending: tuple[int, int] | None = None  # when, and how many triggers up to it
        self._in_doubt = False  # whether the pending trigger may have come too late
        self._last_ns, self._step_ns = 0, 0  # arrival of the last frame, and how long after the one before

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        return self._info

    def trigger(self) -> None:
        """Ask for one frame; counted but not passed on while one is outstanding."""
        grabber = self._opened()
        if self._source != "software":
            raise no_software_trigger(label(self._info.kind, self._info.name), self._source)
        self._trigger_count += 1
        if self._pending is None:
            triggered_ns = grabber.trigger()
            self._pending = (triggered_ns, self._trigger_count)
            self._note_delay((time.monotonic_ns() - triggered_ns) / 1e6)

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came."""
        grab = self._opened().grab(timeout_s)
        if grab is None:
            return None
        self._last_ns, self._step_ns = grab.received_ns, grab.received_ns - self._last_ns
        return self._frame(grab)

    def adjust(self, config: CameraConfig) -> float | None:
        """Set what differs on the running device, see `pipeline.cameras.camera.Camera`."""
        grabber = self._opened()
        if not isinstance(config, DeviceSection):
            return None
        exposure_us = grabber.adjust(self._config, config)
        if exposure_us is None:
            return None
        before_ns, self._exposure_ns = self._exposure_ns, round(exposure_us * 1e3)
        self._config = config
        return self._settling_s(max(before_ns, self._exposure_ns) / 1e9)

    def _settling_s(self, exposure_s: float) -> float:
        """A frame that was being exposed has yet to arrive; with `software` there is none."""
        if self._source == "software":
            return 0.0
        frame_bytes = self._info.width_px * self._info.height_px * CHANNELS[self._info.pixel_format]
        arrival_s = exposure_s + SETTLE_S + frame_bytes / SLOWEST_BYTES_PER_S
        if self._source != "freerun":
            return arrival_s
        return arrival_s + SETTLED_FRAMES * min(self._step_ns / 1e9, LONGEST_STEP_S)

    def probe(self) -> None:
        """Ask the device whether it is still there; may block, see `pipeline.cameras.camera.Camera`."""
        grabber = self._grabber
        if grabber is not None:
            grabber.probe()

    def close(self) -> None:
        """Stop and release the device; safe to call again, also after it was removed."""
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            grabber.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _note_delay(self, took_ms: float) -> None:
        self._in_doubt = took_ms > TRIGGER_LIMIT_MS
        if self._in_doubt:
            _log.warning(
                "%s: a trigger took %.0f ms, expected at most %d: its frame may show another part and is "
                "marked incomplete. Check the cable and the network.",
                *(label(self._info.kind, self._info.name), took_ms, TRIGGER_LIMIT_MS),
            )

    def _opened(self) -> Grabber:
        if self._grabber is None:
            raise CameraError(f"{label(self._info.kind, self._info.name)} is closed. Open it again.")
        return self._grabber

    def _frame(self, grab: Grab) -> Frame:
        frame_id = self._number(grab.raw_frame_id)
        whole = None if self._in_doubt else grab.pixels
        pixels = self._black() if whole is None else whole
        header = FrameHeader(
            camera=self._info.name,
            frame_id=frame_id,
            raw_frame_id=grab.raw_frame_id or 0,
            camera_epoch=self._camera_epoch,
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            pixel_format=self._info.pixel_format,
            complete=whole is not None,
            exposed_ns=self._exposed_ns(grab),
            received_ns=grab.received_ns,
            received_utc_ns=time.time_ns(),
            camera_timestamp_ns=grab.timestamp_ns,
            camera_clock="device" if grab.timestamp_ns else "none",
            clock_drift_ppm=self._clock.drift_ppm,
            replaced=grab.replaced,
            trigger_count=self._pending[1] if self._pending else None,
            simulated=self._info.simulated,
        )
        self._pending = None
        self._in_doubt = False
        return Frame(header, pixels)

    def _number(self, raw: int | None) -> int:
        try:
            return self._counter.advance(raw)
        except ValueError as error:
            raise lost(label(self._info.kind, self._info.name), "be read", str(error)) from error

    def _exposed_ns(self, grab: Grab) -> int:
        if self._pending is not None:
            return self._pending[0]
        arrived_ns = grab.received_ns
        if grab.timestamp_ns:
            arrived_ns = self._clock.to_host_ns(grab.timestamp_ns, arrived_ns)
        return arrived_ns - self._exposure_ns

    def _black(self) -> NDArray[np.uint8]:
        shape = (self._info.height_px, self._info.width_px, CHANNELS[self._info.pixel_format])
        return np.zeros(shape[:2] if self._info.pixel_format == "Mono8" else shape, np.uint8)


def label(kind: str, name: str) -> str:
    """How messages call a camera."""
    return f"{kind.capitalize()} camera {name}"


def lost(camera: str, action: str, reason: str) -> CameraError:
    """The error of a device that does not answer as it should; `camera` is its label."""
    return CameraError(
        f"{camera} cannot {action}: {reason}. Check cable, power and that no "
        "other program has opened it, then open it again."
    )


def in_use(camera: str, device: str) -> CameraError:
    """The error of a device that somebody else controls; `camera` is its label."""
    return CameraError(
        f"{camera}: found {device} in use by another program, expected to have it alone. Close the other "
        "program (a viewer, a second station), or wait until its connection has timed out."
    )


def convert(
    camera: str, data: NDArray[np.uint8], device_format: str, shape: tuple[int, int], padding_bytes: int = 0
) -> NDArray[np.uint8] | None:
    """A buffer's bytes in the line's format, None (and logged) if they are no whole image of `shape` (H, W).

    `padding_bytes` is what the device puts after each line.
    """
    try:
        if padding_bytes:
            raise PixelError(f"found lines padded by {padding_bytes} bytes, expected none: change the width")
        return to_line_format(data, device_format, width_px=shape[1], height_px=shape[0])
    except PixelError as error:
        _log.warning("%s: %s. Its frame is marked incomplete.", camera, error)
        return None
