"""Which part is in front of a camera without a device, and when. Pure: the time is an argument.

- `line`: part n passes at start + n / rate. Every part is delivered, in order; a late reader gets those
  that wait at once. Beyond `BACKLOG_PARTS` waiting ones, parts that pass are lost, as with a real camera
  whose buffers are full: `frame_id` and `trigger_count` of the next frame show the gap.
- `encoder`: the same, a part every so many counts; the belt runs at one speed.
- `freerun`: the same schedule, newest part only; skipped ones show as a gap in the same way.
- `software`: one part per trigger. A trigger while one is pending is lost, but it is counted:
  `trigger_count` grows by two and more while `frame_id` grows by one.
- The belt starts with the first `read`: part 0 passes then, none passes while the station warms up.
- Without a schedule (`line` and `freerun`) a part passes whenever somebody takes one: nothing is ever lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

from pipeline.cameras.schedule import EvenSchedule

if TYPE_CHECKING:
    from pipeline.cameras.schedule import Schedule

BACKLOG_PARTS = 8
TriggerSource = Literal["freerun", "line", "encoder", "software"]


class Exposure(msgspec.Struct, frozen=True):
    """One part in front of the camera: the parts before it, when it was, the triggers up to and with it."""

    index: int
    exposed_ns: int
    trigger_count: int


class Belt:
    """Which part is exposed when; `parts` is how many there are, None for no end. All times in ns.

    `pace` is a rate in parts per second, a schedule, or None: a part passes when somebody takes one.
    """

    def __init__(
        self, source: TriggerSource, pace: float | Schedule | None, parts: int | None = None
    ) -> None:
        self.source = source
        self.parts = parts
        self._schedule = EvenSchedule(pace) if isinstance(pace, int | float) else pace
        self._start_ns: int | None = None
        self._passed = 0
        self._triggers = 0
        self._waiting: deque[Exposure] = deque()

    @property
    def ended(self) -> bool:
        """Whether the last part was taken."""
        return self.parts is not None and self._passed >= self.parts and not self._waiting

    @property
    def next_ns(self) -> int | None:
        """When the next part passes; None if nothing is scheduled."""
        if self.source == "software" or self._schedule is None or self._start_ns is None or self.ended:
            return None
        return self._start_ns + self._schedule.offset_ns(self._passed)

    def trigger(self, now_ns: int) -> None:
        """Expose one part now, unless one is pending already; counted in either case."""
        self._triggers += 1
        if not self._waiting and not self.ended:
            self._waiting.append(Exposure(self._passed, now_ns, self._triggers))
            self._passed += 1

    def take(self, now_ns: int) -> Exposure | None:
        """The next exposed part that nobody took yet, None if there is none at this time."""
        if self.source != "software":
            if self._schedule is None:
                self.trigger(now_ns)
            else:
                self._advance(self._schedule, now_ns)
        return self._waiting.popleft() if self._waiting else None

    def _advance(self, schedule: Schedule, now_ns: int) -> None:
        if self._start_ns is None:
            self._start_ns = now_ns
        start_ns = self._start_ns
        passed = schedule.passed(now_ns - start_ns)
        if self.parts is not None:
            passed = min(passed, self.parts)
        first = self._passed
        self._passed = max(first, passed)
        arrived = range(first, self._passed)
        if self.source == "freerun":
            arrived = arrived[-1:]
            if arrived:
                self._waiting.clear()
        for index in arrived[: BACKLOG_PARTS - len(self._waiting)]:
            self._waiting.append(Exposure(index, start_ns + schedule.offset_ns(index), index + 1))
