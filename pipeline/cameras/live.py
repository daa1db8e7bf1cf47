"""What the pictures of a live stream are worth: how old, whether whole, which one is handed over. Pure.

- A stream says when each picture was taken, but in a clock of its own. The picture that arrived with the
  least delay was not held up; how much later than it another one arrived is that one's lag. The delay that
  all have in common (exposure, encoding, transfer) is not known.
- At the opening the first pictures may come from a queue: none counts until one had to be waited for.
- After a damaged or missing picture those that refer to it are damaged as well, and a decoder does not say
  so: until the next key frame none is whole. A step in time of more than `MISSING_STEPS` usual ones is a
  missing picture. Where each picture is a key frame (MJPEG), each stands for itself.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Any, Literal

import msgspec

DRIFT = 0.01
WAITED_STEPS = 0.25
MISSING_STEPS = 1.5
_REMEMBERED_STEPS = 15
StreamTriggerSource = Literal["freerun", "software"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded picture; `number` counts those of the stream, `pts_ns` is in the stream's clock."""

    picture: Any
    number: int
    pts_ns: int
    exposed_ns: int
    arrived_ns: int
    whole: bool


class StreamClock:
    """Host time of a stream's timestamps, by the least delay seen, which may grow by `DRIFT` of the time.

    So a backlog of many pictures does not become the new normal, and a stream's clock that runs up to 1 %
    wrong is followed. A clock that steps back starts a new one, unsettled.
    """

    def __init__(self) -> None:
        self.settled = False
        self._least_ns = 0
        self._previous: tuple[int, int] | None = None  # timestamp and arrival of the last picture

    def to_host_ns(self, pts_ns: int, arrived_ns: int, waited_ns: int) -> int:
        """When the picture would have arrived without lag; `waited_ns` is how long it was waited for."""
        delay_ns = arrived_ns - pts_ns
        if self._previous is None or pts_ns <= self._previous[0]:
            self.settled = False
            self._least_ns = delay_ns
        else:
            step_ns, passed_ns = pts_ns - self._previous[0], arrived_ns - self._previous[1]
            self.settled = self.settled or waited_ns >= WAITED_STEPS * step_ns
            self._least_ns = min(delay_ns, self._least_ns + round(DRIFT * passed_ns))
        self._previous = (pts_ns, arrived_ns)
        return pts_ns + self._least_ns


class Steps:
    """Tells from the time between pictures how many are missing."""

    def __init__(self) -> None:
        self._steps_ns: deque[int] = deque(maxlen=_REMEMBERED_STEPS)
        self._previous_ns: int | None = None

    def missing(self, pts_ns: int) -> int:
        """How many pictures are missing between the last one and this."""
        previous_ns, self._previous_ns = self._previous_ns, pts_ns
        if previous_ns is None or pts_ns <= previous_ns:
            return 0
        step_ns = pts_ns - previous_ns
        usual_ns = statistics.median(self._steps_ns) if self._steps_ns else step_ns
        self._steps_ns.append(step_ns)
        return max(1, round(step_ns / usual_ns) - 1) if step_ns > MISSING_STEPS * usual_ns else 0


class Wholeness:
    """Which decoded pictures are whole, told in the order of their timestamps."""

    def __init__(self) -> None:
        self._broken = True  # until the first key frame

    def advance(self, *, key_frame: bool, corrupt: bool, missing: bool) -> bool:
        """Whether this picture is whole; `missing` is about the one before it."""
        if corrupt or (missing and not key_frame):
            self._broken = True
        elif key_frame:
            self._broken = False
        return not self._broken


class Selection:
    """Which arrival the reader gets.

    `freerun`: the newest; one that nobody took is replaced. `software`: the first that was due after the
    trigger; a trigger while one is pending is lost, but counted.
    """

    def __init__(self, source: StreamTriggerSource) -> None:
        self._source = source
        self._triggers = 0
        self._pending: tuple[int, int] | None = None  # when, and how many triggers up to it
        self._waiting: Arrival | None = None

    def trigger(self, now_ns: int) -> None:
        """Ask for the next picture."""
        self._triggers += 1
        if self._pending is None:
            self._pending = (now_ns, self._triggers)

    def offer(self, arrival: Arrival) -> None:
        """A picture has arrived."""
        if self._source == "freerun" or self._is_answer(arrival):
            self._waiting = arrival

    def take(self) -> tuple[Arrival, int | None] | None:
        """The arrival that waits and the triggers up to it (None with `freerun`); None if none waits."""
        if self._waiting is None:
            return None
        taken = (self._waiting, self._pending[1] if self._pending else None)
        self._waiting = self._pending = None
        return taken

    def _is_answer(self, arrival: Arrival) -> bool:
        if self._pending is None or self._waiting is not None:
            return False
        return arrival.exposed_ns >= self._pending[0]
