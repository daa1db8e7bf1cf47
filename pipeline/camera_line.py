"""What the station knows of one camera: its process, its ring, who has which slot, what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.dispatch import SlotAccount
from pipeline.internal import CaptureStart, Release, RingSpec

if TYPE_CHECKING:
    from pipeline.camera_config import CameraConfig
    from pipeline.child import Child
    from pipeline.config import RealtimeConfig
    from pipeline.frame import FrameHeader
    from pipeline.internal import FrameReady, Heartbeat
    from pipeline.messages import TriggerSource
    from pipeline.ring import Ring

MAX_TRIGGER_ID = 0xFFFFFFFF
CLOCK_ALARM_PPM = 200.0
"""Drift of a camera's clock against the host's; quartzes differ by less than 100."""


class Announcement(NamedTuple):
    """A part that the next frame is of, and until when (host monotonic) that frame may come."""

    ordinal: int
    until_ns: int


class CameraLine:
    """One camera as the station sees it.

    `shooting` is the software trigger that awaits its frame, `announced` the part that the next frame of a
    line or encoder is of. `reopening`: its process was told to end, to be started with another `config`;
    `reopened` counts that, which is no loss.
    """

    def __init__(self, config: CameraConfig, ring: Ring, child: Child) -> None:
        self.config = config
        self.ring = ring
        self.child = child
        self.slots = SlotAccount(ring.slots)
        self.shooting: int | None = None
        self.announced: Announcement | None = None
        self.newest: FrameReady | None = None
        self.ended = False
        self.reopening = False
        self.reopened = 0
        self.skipped_here = 0
        self.skipped_in_capture = 0
        self.frames_lost = 0
        self.next_shot_ns: int | None = None
        self._skipped_before = 0
        self._lost_before = 0
        self._trigger_id = 0
        self._last: FrameHeader | None = None
        self._clock_alarm = False

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def source(self) -> TriggerSource:
        """What the station calls the origin of this camera's own triggers."""
        source = self.config.trigger.source
        return "line" if source == "encoder" else source

    @property
    def period_ns(self) -> int | None:
        """Time between the station's own software triggers, None if it has none."""
        period_ms = self.config.trigger.period_ms
        return None if period_ms is None else round(period_ms * 1e6)

    def count(self, message: FrameReady | Heartbeat) -> None:
        """Take over what the capture process has counted, added to its lives before."""
        self.skipped_in_capture = self._skipped_before + message.frames_skipped
        self.frames_lost = self._lost_before + message.frames_lost

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

    def capture_start(self, realtime: RealtimeConfig) -> CaptureStart:
        """How the next life of the capture process is started."""
        return CaptureStart(
            endpoint=self.child.endpoint,
            camera=self.config,
            camera_epoch=self.child.lives + 1,
            ring=self.ring_spec(),
            free_slots=self.slots.with_capture,
            realtime=realtime,
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
        """Parts since the last frame that have none: triggers the camera counted, or frames that were lost.

        A device that is overtriggered counts triggers, if it can, and no frames; one whose frames are lost on
        their way counts frames. A part is missing in one of the two ways only.
        """
        last, self._last = self._last, header
        if last is None:
            return 0
        frames = header.frame_id - last.frame_id - 1
        triggers = 0
        if last.trigger_count is not None and header.trigger_count is not None:
            triggers = header.trigger_count - last.trigger_count - 1
        return max(0, frames, triggers)

    def take_announced(self, now_ns: int) -> int | None:
        """The announced part that a frame which comes now is of; None if none is, or its window is over."""
        announced, self.announced = self.announced, None
        return announced.ordinal if announced is not None and now_ns <= announced.until_ns else None

    def awaits_announced(self, now_ns: int) -> bool:
        """Whether a part was announced and its frame may still come."""
        return self.announced is not None and now_ns <= self.announced.until_ns

    def clock_alarm(self, header: FrameHeader) -> str | None:
        """What is wrong with the camera's clock, said once; None if it runs with the host's."""
        drift = header.clock_drift_ppm
        if drift is None or abs(drift) <= CLOCK_ALARM_PPM:
            self._clock_alarm = self._clock_alarm and drift is None
            return None
        if self._clock_alarm:
            return None
        self._clock_alarm = True
        return (
            f"camera {self.name}: its clock and this machine's drift apart by {drift:.0f} ppm, expected "
            f"at most {CLOCK_ALARM_PPM:.0f}: times of exposure are unreliable. Check PTP or NTP."
        )

    def too_old(self, header: FrameHeader, now_ns: int) -> bool:
        """Whether a free-run frame is older than the configuration allows."""
        max_age_ms = self.config.trigger.max_age_ms
        return max_age_ms is not None and now_ns - header.exposed_ns > max_age_ms * 1e6

    def forget_device(self) -> None:
        """A new life of the capture process counts its triggers from the start."""
        self.shooting = None
        self.announced = None
        self._skipped_before, self._lost_before = self.skipped_in_capture, self.frames_lost
        self._last = None
        if self.newest is not None:
            self.give_back(self.newest.slot)
            self.newest = None

    def format_error(self, header: FrameHeader) -> str | None:
        """What is wrong with a frame's format, None if it is as configured."""
        config = self.config
        found = f"{header.width_px}x{header.height_px} {header.pixel_format}"
        expected = f"{config.width_px}x{config.height_px} {config.pixel_format}"
        return None if found == expected else f"found a frame of {found}, expected {expected}"
