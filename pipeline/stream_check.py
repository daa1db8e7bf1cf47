"""What a reader of one station must check: gaps, restarts, staleness, late data. Pure: no sockets, no clock.

Rules:
1. Every number of a stream that was not seen is reported once, the last ones by way of `status.last_seq`.
   Not so for heatmaps and images: they come over a socket of their own and may be behind, so their next one
   shows it.
2. A reader that joins late has missed nothing; a reader that was there when the station restarted has.
3. Nothing that is old, repeated or of an earlier epoch is good to act on: it is `expired`.
4. Without a fresh status the station is stale, so not ready: before the first one, after three missing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from pipeline.messages import ResultHeader, StatusHeader

if TYPE_CHECKING:
    from pipeline.messages import AnyHeader

MISSING_STATUSES = 3
FIRST_STATUS_NS = 1_000_000_000
REMEMBERED_EPOCHS = 8
APART = ("heatmap/", "image/")
"""Streams of the other socket."""


class Gap(msgspec.Struct, frozen=True):
    """Messages `first` to `last` of a stream were lost on the way to this reader."""

    stream: str
    first: int
    last: int


class EpochChange(msgspec.Struct, frozen=True):
    """The station has restarted; its numbers begin again at 1."""

    old: str
    new: str


class Repeat(msgspec.Struct, frozen=True):
    """A number that was already seen or given up, or one of an earlier epoch: two stations with one name?"""

    stream: str
    seq: int


class Lost(msgspec.Struct, frozen=True):
    """Messages `first` to `last` of a start's stream are not to be had any more, by replay neither."""

    epoch: str
    stream: str
    first: int
    last: int


class Stale(msgspec.Struct, frozen=True):
    """No fresh status: treat the station (`line/station`; empty: none heard so far) as not ready."""

    station: str


class Unreadable(msgspec.Struct, frozen=True):
    """A message that is not of this schema."""

    text: str


Notice = Gap | Lost | EpochChange | Repeat | Stale | Unreadable


def is_expired(header: AnyHeader, *, now_utc_ns: int, max_age_ns: int) -> bool:
    """Whether a message is too old to act on, or a result's deadline has passed since.

    The deadline is in the station's monotonic clock, so what was left of it at the decision counts from
    `published_ns`. A message from the future by more than `max_age_ns` comes from a clock that cannot be
    compared with ours, and is expired, too.
    """
    age_ns = now_utc_ns - int(header.published_ns)
    if abs(age_ns) > max_age_ns:
        return True
    if not isinstance(header, ResultHeader):
        return False
    return age_ns > int(header.deadline_ns) - int(header.t.decided)


class StreamChecker:
    """Follows the numbers and the heartbeat of one station (one `line` and `station`)."""

    def __init__(self) -> None:
        self.status: StatusHeader | None = None
        self._epoch: str | None = None
        self._earlier: deque[str] = deque(maxlen=REMEMBERED_EPOCHS)
        self._seen: dict[str, int] = {}
        self._restarted = False
        self._begun_ns = 0
        self._fresh_ns = 0

    def check(self, header: AnyHeader, *, now_ns: int, age_ns: int = 0) -> list[Notice]:
        """Take in one message: `now_ns` is any steady clock, `age_ns` how long ago it was published."""
        if header.epoch in self._earlier:
            return [Repeat(header.stream, header.seq)]
        notices: list[Notice] = []
        if header.epoch != self._epoch:
            notices += self._begin(header.epoch, now_ns)
        seen = self._seen.get(header.stream)
        if seen is None:
            seen = 0 if self._counts_from_start(header.stream) else header.seq - 1
        if header.seq <= seen:
            return [*notices, Repeat(header.stream, header.seq)]
        if header.seq > seen + 1:
            notices.append(Gap(header.stream, seen + 1, header.seq - 1))
        self._seen[header.stream] = header.seq
        if isinstance(header, StatusHeader):
            notices += self._tail(header)
            self.status = header
            self._fresh_ns = now_ns - max(0, age_ns)
        return notices

    def stale(self, now_ns: int) -> bool:
        """Whether the last status is too old, or there was none in this epoch."""
        return self.status is None or now_ns > self.stale_at_ns()

    def stale_at_ns(self) -> int:
        """When to call the station stale if no status comes; an epoch's first one has a second."""
        if self.status is None:
            return self._begun_ns + FIRST_STATUS_NS
        return self._fresh_ns + MISSING_STATUSES * self.status.period_ms * 1_000_000

    def _begin(self, epoch: str, now_ns: int) -> list[Notice]:
        old, self._epoch = self._epoch, epoch
        self._seen.clear()
        self.status = None
        self._begun_ns = now_ns
        if old is None:
            return []
        self._earlier.append(old)
        self._restarted = True
        return [EpochChange(old, epoch)]

    def _counts_from_start(self, stream: str) -> bool:
        """Whether this reader was there from the stream's first message on, or has had a status since."""
        if stream.startswith(APART):
            return self._restarted
        return self._restarted or self.status is not None

    def _tail(self, status: StatusHeader) -> list[Notice]:
        """Gaps at the end of the streams; the first status of a late joiner only sets where it joined."""
        late_joiner = self.status is None and not self._restarted
        gaps: list[Notice] = []
        for stream, last in status.last_seq.items():
            if stream.startswith(APART):
                continue
            seen = self._seen.get(stream, last if late_joiner else 0)
            if last > seen:
                gaps.append(Gap(stream, seen + 1, last))
            self._seen[stream] = max(seen, last)
        return gaps
