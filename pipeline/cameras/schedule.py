"""When the parts of a belt pass, counted from its start. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_SINGLE_PERIOD_NS = 100_000_000


class Schedule(Protocol):
    """Times of all parts, in ns from the start of the belt; they never go back."""

    def offset_ns(self, index: int) -> int:
        """When part `index` passes."""
        ...

    def passed(self, elapsed_ns: int) -> int:
        """How many parts have passed by then, the one that passes at that very time included."""
        ...


class EvenSchedule:
    """A part every 1 / `rate_hz` seconds; the first at the start."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz

    def offset_ns(self, index: int) -> int:
        """When part `index` passes."""
        return round(index * self._period_ns)

    def passed(self, elapsed_ns: int) -> int:
        """How many parts have passed by then."""
        passed = int(elapsed_ns / self._period_ns) + 1
        return passed + (self.offset_ns(passed) <= elapsed_ns)  # the quotient was rounded down


class RecordedSchedule:
    """The spacing that parts once had, again and again: after the last comes the first, a mean gap later.

    `offsets_ns` are the recorded times, counted from the start of the recording; they may start late.
    """

    def __init__(self, offsets_ns: Sequence[int]) -> None:
        if not offsets_ns:
            raise ValueError("schedule: found no part, expected at least one.")
        self._offsets_ns = sorted(offsets_ns)
        span_ns = self._offsets_ns[-1] - self._offsets_ns[0]
        gaps = len(offsets_ns) - 1
        self._round_ns = span_ns + (max(1, round(span_ns / gaps)) if gaps else _SINGLE_PERIOD_NS)

    def offset_ns(self, index: int) -> int:
        """When part `index` passes."""
        rounds, within = divmod(index, len(self._offsets_ns))
        return rounds * self._round_ns + self._offsets_ns[within]

    def passed(self, elapsed_ns: int) -> int:
        """How many parts have passed by then."""
        rounds, within_ns = divmod(max(0, elapsed_ns - self._offsets_ns[0]), self._round_ns)
        passed = bisect_right(self._offsets_ns, within_ns + self._offsets_ns[0])
        return 0 if elapsed_ns < self._offsets_ns[0] else rounds * len(self._offsets_ns) + passed
