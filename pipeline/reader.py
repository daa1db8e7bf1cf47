"""What a reader makes of the frames that come: typed, checked, in order. No sockets; clocks are arguments.

The shells around it, `client` and `async_client`, only move frames and wait.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from pipeline.heatmaps import map_in_image, unpack_heatmap
from pipeline.messages import AnyHeader, HeatmapHeader, MapHeader, StatusHeader
from pipeline.requests import encode
from pipeline.stream_check import (
    FIRST_STATUS_NS,
    Gap,
    Lost,
    Notice,
    Repeat,
    Stale,
    StreamChecker,
    Unreadable,
    is_expired,
)
from pipeline.wire import MessageError, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.recovery import Recovery

ANY = "+"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; never act on it if it is `expired`. `payload` is a packed map, or an image."""

    header: AnyHeader
    expired: bool
    payload: bytes | None = None

    def anomaly_map(self) -> NDArray[np.float32]:
        """Scores (H, W) of the map, float32, raw units as `header.threshold`.

        Raises:
            MessageError: this is not a heatmap, or its payload does not fit its header.
        """
        header, payload = self._heatmap()
        return unpack_heatmap(header, payload)

    def image_map(self, width_px: int, height_px: int) -> NDArray[np.float32]:
        """Scores (height_px, width_px) in the pixels of the raw image, float32, raw units.

        Raises:
            MessageError: this is not a heatmap, or its payload does not fit its header.
        """
        header, payload = self._heatmap()
        return map_in_image(header, unpack_heatmap(header, payload), width_px, height_px)

    def _heatmap(self) -> tuple[HeatmapHeader, bytes]:
        if not isinstance(self.header, HeatmapHeader) or self.payload is None:
            raise MessageError(f"heatmap: found a {self.header.schema} message, expected a heatmap.")
        return self.header, self.payload


Item = Message | Notice


class Reader:
    """Follows all stations of one publisher, or the one that is chosen.

    With a `recovery` the recorded streams of the first station that is heard come in order and without gaps.
    """

    def __init__(
        self,
        *,
        line: str = ANY,
        station: str = ANY,
        max_age_ms: float = 500.0,
        now_utc_ns: Callable[[], int] = time.time_ns,
        now_ns: Callable[[], int] = time.monotonic_ns,
        recovery: Recovery | None = None,
    ) -> None:
        self.line, self.station = line, station
        self.now_ns = now_ns
        self.items: deque[Item] = deque()
        self._max_age_ns = int(max_age_ms * 1e6)
        self._now_utc_ns = now_utc_ns
        self._recovery = recovery
        self._recovered: str | None = None
        self._checkers: dict[str, StreamChecker] = {}
        self._known_stale: set[str] = set()
        self._begun_ns = now_ns()

    @property
    def stale(self) -> bool:
        """Whether any station that was heard, or all of them so far, lacks a fresh status."""
        now_ns = self.now_ns()
        return not self._checkers or any(checker.stale(now_ns) for checker in self._checkers.values())

    @property
    def ready(self) -> bool:
        """Whether every station that was heard is fresh and says that it is ready."""
        statuses = [checker.status for checker in self._checkers.values()]
        return not self.stale and all(status is not None and status.ready for status in statuses)

    def take(self, frames: list[bytes]) -> None:
        """Decode and check one published message; its notices come before it."""
        try:
            header = decode(frames[0], frames[1:])
        except MessageError as error:
            self.items.append(Unreadable(str(error)))
            return
        if self.station not in {ANY, header.station} or self.line not in {ANY, header.line}:
            return
        name = f"{header.line}/{header.station}"
        checker = self._checkers.setdefault(name, StreamChecker())
        age_ns = self._now_utc_ns() - int(header.published_ns)
        notices = checker.check(header, now_ns=self.now_ns(), age_ns=age_ns)
        if not checker.stale(self.now_ns()):
            self._known_stale.discard(name)
        payload = frames[2] if isinstance(header, MapHeader) else None
        self._recovered = self._recovered or name
        if self._recovery is not None and name == self._recovered:
            self._recover(self._recovery, header, payload, notices)
            return
        repeated = any(isinstance(notice, Repeat) for notice in notices)
        self.items.extend((*notices, self._message(header, payload, repeated=repeated)))

    def _recover(
        self, recovery: Recovery, header: AnyHeader, payload: bytes | None, notices: list[Notice]
    ) -> None:
        """Recorded streams come out of the recovery, and it alone says what they have lost."""
        kept = [
            notice
            for notice in notices
            if not (isinstance(notice, Gap | Repeat) and recovery.handles(notice.stream))
        ]
        self.items.extend(kept)
        if recovery.handles(header.stream) or isinstance(header, StatusHeader):
            recovery.live(header)
        self._deliver(recovery)
        if not recovery.handles(header.stream):
            repeated = any(isinstance(notice, Repeat) for notice in kept)
            self.items.append(self._message(header, payload, repeated=repeated))

    def _deliver(self, recovery: Recovery) -> None:
        while recovery.ready:
            item = recovery.ready.popleft()
            self.items.append(item if isinstance(item, Lost) else self._message(item, None, repeated=False))

    def _message(self, header: AnyHeader, payload: bytes | None, *, repeated: bool) -> Message:
        expired = repeated or is_expired(header, now_utc_ns=self._now_utc_ns(), max_age_ns=self._max_age_ns)
        return Message(header=header, expired=expired, payload=payload)

    # Asking for what was missed

    def request(self) -> bytes | None:
        """A request to be sent now; None if nothing is missing, or an answer is awaited."""
        request = None if self._recovery is None else self._recovery.request(self.now_ns())
        return None if request is None else encode(request)

    def answer(self, frames: list[bytes]) -> None:
        """Take in an answer to a request."""
        if self._recovery is None:
            return
        try:
            self._recovery.answer(frames, self.now_ns())
        except MessageError as error:
            self.items.append(Unreadable(str(error)))
        self._deliver(self._recovery)

    # Time

    def wait_ms(self, end_ns: int | None) -> int | None:
        """Until there is something to do without a message: a station goes stale, or the time is up."""
        due = [
            checker.stale_at_ns() for name, checker in self._checkers.items() if name not in self._known_stale
        ]
        if not self._checkers and "" not in self._known_stale:
            due.append(self._begun_ns + FIRST_STATUS_NS)
        recovery_ns = None if self._recovery is None else self._recovery.due_ns()
        due += [moment for moment in (end_ns, recovery_ns) if moment is not None]
        return max(0, (min(due) - self.now_ns()) // 1_000_000 + 1) if due else None

    def note_stale(self) -> None:
        """Say once that a station is stale; only after everything that has arrived was taken in."""
        now_ns = self.now_ns()
        if not self._checkers and "" not in self._known_stale and now_ns > self._begun_ns + FIRST_STATUS_NS:
            self._known_stale.add("")
            self.items.append(Stale(""))
        for name, checker in self._checkers.items():
            if name not in self._known_stale and now_ns > checker.stale_at_ns():
                self._known_stale.add(name)
                self.items.append(Stale(name))
