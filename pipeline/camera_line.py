"""What the station knows of one camera: its process, its ring, who has which slot, what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.dispatch import SlotAccount
from pipeline.internal import CaptureStart, Release, RingSpec

if TYPE_CHECKING:
    from pipeline.child import Child
    from pipeline.config import CameraConfig
    from pipeline.frame import FrameHeader
    from pipeline.internal import FrameReady
    from pipeline.messages import TriggerSource
    from pipeline.ring import Ring

MAX_TRIGGER_ID = 0xFFFFFFFF


class CameraLine:
    """One camera as the station sees it. `shooting` is the software trigger that awaits its frame."""

    def __init__(self, config: CameraConfig, ring: Ring, child: Child) -> None:
        self.config = config
        self.ring = ring
        self.child = child
        self.slots = SlotAccount(ring.slots)
        self.shooting: int | None = None
        self.newest: FrameReady | None = None
        self.ended = False
        self.skipped_here = 0
        self.skipped_in_capture = 0
        self.next_shot_ns: int | None = None
        self._trigger_id = 0
        self._trigger_count: int | None = None

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def source(self) -> TriggerSource:
        """What the station calls the origin of this camera's own triggers."""
        return self.config.trigger.source

    @property
    def period_ns(self) -> int | None:
        """Time between the station's own software triggers, None if it has none."""
        period_ms = self.config.trigger.period_ms
        return None if period_ms is None else round(period_ms * 1e6)

    @property
    def frames_skipped(self) -> int:
        """Free-run frames that a newer one has replaced."""
        return self.skipped_here + self.skipped_in_capture

    @property
    def state(self) -> str:
        """For people: ended, or the state of the capture process."""
        return "ended" if self.ended else self.child.state

    def ring_spec(self) -> RingSpec:
        """How a child maps this ring."""
        ring = self.ring
        return RingSpec(camera=self.name, fd=ring.fd, slots=ring.slots, slot_bytes=ring.slot_bytes)

    def capture_start(self) -> CaptureStart:
        """How the next life of the capture process is started."""
        return CaptureStart(
            endpoint=self.child.endpoint,
            camera=self.config,
            camera_epoch=self.child.lives + 1,
            ring=self.ring_spec(),
            free_slots=self.slots.with_capture,
        )

    def give_back(self, slot: int | None) -> None:
        """Let capture fill a slot again; None, a frame without a slot, is nothing to give back."""
        if slot is not None:
            self.slots.release(slot)
            self.child.send(Release(slot=slot))

    def keep_newest(self, message: FrameReady) -> None:
        """Hold a free-run frame for the engine, in place of the one held so far."""
        if self.newest is not None:
            self.skipped_here += 1
            self.give_back(self.newest.slot)
        self.newest = message

    def shot_due(self, now_ns: int) -> bool:
        """Whether the station's own next trigger is due; if so, the one after it is planned."""
        if self.next_shot_ns is None or self.period_ns is None or self.next_shot_ns > now_ns:
            return False
        missed = (now_ns - self.next_shot_ns) // self.period_ns
        self.next_shot_ns += (missed + 1) * self.period_ns
        return True

    def next_trigger_id(self) -> int:
        """Number of the next trigger that this station itself starts or hears of through the camera."""
        self._trigger_id = self._trigger_id % MAX_TRIGGER_ID + 1
        return self._trigger_id

    def missed_before(self, header: FrameHeader) -> int:
        """Line triggers that the camera counted since its last frame and gave no frame for."""
        before, now = self._trigger_count, header.trigger_count
        self._trigger_count = now
        if before is None or now is None or self.source != "line":
            return 0
        return max(0, now - before - 1)

    def forget_device(self) -> None:
        """A new life of the capture process counts its triggers from the start."""
        self.shooting = None
        self._trigger_count = None
        if self.newest is not None:
            self.give_back(self.newest.slot)
            self.newest = None

    def format_error(self, header: FrameHeader) -> str | None:
        """What is wrong with a frame's format, None if it is as configured."""
        config = self.config
        found = f"{header.width_px}x{header.height_px} {header.pixel_format}"
        expected = f"{config.width_px}x{config.height_px} {config.pixel_format}"
        return None if found == expected else f"found a frame of {found}, expected {expected}"
