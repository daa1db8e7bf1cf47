"""Stage 1, one process a camera: frames from the camera into the shared-memory ring."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pipeline import realtime
from pipeline.cameras import open_camera
from pipeline.cameras.camera import CameraError, EndOfFramesError
from pipeline.config import ConfigError
from pipeline.internal import (
    Adjust,
    Adjusted,
    CameraLost,
    CameraReady,
    CaptureStart,
    EndOfFrames,
    FrameReady,
    Go,
    NoFrame,
    Release,
    Shoot,
    Stop,
    decode_to_capture,
)
from pipeline.realtime import GarbageCollector
from pipeline.ring import Ring
from pipeline.watchdog import Watchdog
from pipeline.worker import Link, fail_start, leave, leave_at_once, read_start

if TYPE_CHECKING:
    from pipeline.camera_config import CameraConfig
    from pipeline.cameras.camera import Camera
    from pipeline.frame import Frame, FrameHeader

READ_S = 0.05
WAIT_MS = 50


class Settling(NamedTuple):
    """Settings that the camera has taken; what is exposed from `due_ns` on has them."""

    camera: CameraConfig
    due_ns: int


class Capture:
    """Hands frames over until it is told to stop.

    With a software trigger one frame is asked for at a time. If it does not come in time the camera is
    given up: a frame that came late would be taken for the next part's.
    """

    def __init__(self, camera: Camera, ring: Ring, link: Link, start: CaptureStart) -> None:
        self._camera = camera
        self._ring = ring
        self._link = link
        self._free = deque(start.free_slots)
        self._trigger = start.camera.trigger
        self._asked: deque[tuple[int, int]] = deque()
        self._skipped = 0
        self._lost = 0
        self._last_id: int | None = None
        self._going = False
        self._stopped = False
        self._watched_ns: int | None = None
        self._settling: Settling | None = None
        self._garbage = GarbageCollector()

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            CameraError: the camera is lost, or gave no frame in time.
        """
        while not self._going and not self._stopped:
            self._obey(WAIT_MS)
            self._link.heartbeat()
        while not self._stopped:
            wanted, frame = self._wanted, None
            self._obey(0 if wanted else WAIT_MS)
            if wanted and not self._stopped:
                frame = self._camera.read(READ_S)
                if frame is not None:
                    self._hand_over(frame)
                self._check_overdue(frame)
            self._check_settled(frame)
            self._link.heartbeat(self._skipped, self._lost)
            self._garbage.turn(idle=not self._asked)

    @property
    def _wanted(self) -> bool:
        """Whether to read the camera now; one that waits is read when its last frame is done with."""
        if self._trigger.source == "software":
            return bool(self._asked)
        return not self._camera.info.waits or len(self._free) == self._ring.slots

    def _obey(self, timeout_ms: int) -> None:
        data = self._link.receive(timeout_ms)
        while data is not None:
            message = decode_to_capture(data)
            if isinstance(message, Release):
                self._free.append(message.slot)
            elif isinstance(message, Go):
                self._going = True
                self._drop_stale()
            elif isinstance(message, Shoot):
                due_ns = time.monotonic_ns() + self._trigger.frame_timeout_ms * 1_000_000
                self._camera.trigger()
                self._asked.append((message.ordinal, due_ns))
            elif isinstance(message, Adjust):
                self._adjust(message.camera)
            elif isinstance(message, Stop):
                self._stopped = True
            data = self._link.receive(0)

    def _adjust(self, camera: CameraConfig) -> None:
        settling_s = self._camera.adjust(camera)
        if settling_s is None:
            self._settling = None
            self._link.send(Adjusted(camera=camera, taken=False))
        else:
            self._settling = Settling(camera, time.monotonic_ns() + round(settling_s * 1e9))

    def _check_settled(self, frame: Frame | None) -> None:
        """Say that the new settings hold, once every frame that may have the old ones was handed over."""
        settling = self._settling
        if settling is None or time.monotonic_ns() < settling.due_ns:
            return
        if frame is None or frame.header.exposed_ns >= settling.due_ns:
            self._settling = None
            self._link.send(Adjusted(camera=settling.camera, taken=True))

    def _drop_stale(self) -> None:
        """Forget what a device took while the station was not ready; recorded parts have not started yet."""
        if not self._camera.info.paced:
            while self._camera.read(0) is not None:
                pass

    def _count(self, header: FrameHeader) -> None:
        """Note what lies between this frame and the last one; what was before the first one is stale."""
        last, self._last_id = self._last_id, header.frame_id
        if last is not None:
            self._skipped += header.replaced
            self._lost += max(0, header.frame_id - last - 1 - header.replaced)

    def _hand_over(self, frame: Frame) -> None:
        self._count(frame.header)
        ordinal: int | None = None
        if self._trigger.source == "software":
            if not self._asked:
                return  # nobody asked for it
            ordinal = self._asked.popleft()[0]
        fits = frame.pixels.nbytes <= self._ring.slot_bytes
        slot = self._free.popleft() if self._free and fits and frame.header.complete else None
        if slot is None and self._trigger.source == "freerun" and fits and frame.header.complete:
            self._skipped += 1
            return
        if slot is not None:
            self._ring.view(slot, frame.header.shape)[...] = frame.pixels
        self._link.send(
            FrameReady(
                header=frame.header,
                slot=slot,
                ordinal=ordinal,
                frames_skipped=self._skipped,
                frames_lost=self._lost,
            )
        )

    def _check_overdue(self, frame: Frame | None) -> None:
        now_ns, timeout_ms = time.monotonic_ns(), self._trigger.frame_timeout_ms
        if self._asked and now_ns > self._asked[0][1]:
            self._link.send(NoFrame(ordinal=self._asked[0][0]))
            raise CameraError(f"no frame within {timeout_ms} ms of its trigger")
        if self._trigger.source != "freerun" or self._camera.info.paced:
            return  # a camera that waits for its line may wait for ever
        if frame is not None or self._watched_ns is None:
            self._watched_ns = now_ns
        elif now_ns - self._watched_ns > timeout_ms * 1e6:
            raise CameraError(
                f"camera {self._camera.info.name}: no frame for {timeout_ms} ms while it runs freely. Check "
                "cable and power, or raise trigger.frame_timeout_ms above the time between two frames."
            )


def _check_format(camera: Camera, start: CaptureStart) -> None:
    info, wanted = camera.info, start.camera
    found = (info.width_px, info.height_px, info.pixel_format)
    expected = (wanted.width_px, wanted.height_px, wanted.pixel_format)
    if found != expected:
        raise CameraError(
            f"camera {info.name}: found {found[0]}x{found[1]} {found[2]}, "
            f"expected {expected[0]}x{expected[1]} {expected[2]}. Correct the camera or config.yaml."
        )


def main() -> None:
    """Open the camera, report ready, hand over frames until told to stop."""
    start = read_start(CaptureStart)
    link = Link(start.endpoint)
    # First of all: the threads that an SDK starts take over what this one has.
    refused = realtime.apply(start.realtime, cores=start.realtime.capture_cores)
    try:
        camera = open_camera(start.camera, camera_epoch=start.camera_epoch)
        _check_format(camera, start)
    except (CameraError, ConfigError) as error:
        fail_start(link, str(error))
    watchdog = Watchdog(
        camera.info.name,
        camera.probe,
        lambda error: leave_at_once(start.endpoint, CameraLost(text=str(error))),
    )
    spec = start.ring
    with link, camera, Ring(spec.fd, slots=spec.slots, slot_bytes=spec.slot_bytes, writable=True) as ring:
        capture = Capture(camera, ring, link, start)
        link.send(CameraReady(info=camera.info, refused=refused))
        try:
            capture.run()
        except EndOfFramesError:
            link.send(EndOfFrames())
        except CameraError as error:
            link.send(CameraLost(text=str(error)))
            leave(link)
        finally:
            watchdog.close()


if __name__ == "__main__":
    main()
