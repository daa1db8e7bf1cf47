"""Puts the recorded streams of one station in order again: what was missed is asked for. Pure.

Rules:
1. From where a reader joined, every message of a recorded stream is delivered exactly once and in order, over
   restarts of the station. What is not to be had any more is said, once, as `Lost`, in its place.
2. One request is under way at a time, a hundred in a second at most; one that is not answered, or refused, is
   sent again.
3. What waits behind a gap is bounded: what does not fit is forgotten and asked for later.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pipeline.messages import StatusHeader
from pipeline.record_config import RECORDED_KINDS
from pipeline.requests import EndReply, ErrorReply, ItemReply, ReplayRequest, decode_reply
from pipeline.stream_check import Lost
from pipeline.wire import MessageError, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.messages import AnyHeader
    from pipeline.requests import Backlog

NO_END = 2**53
TIMEOUT_NS = 1_000_000_000
AGAIN_NS = 100_000_000
PACE_NS = 10_000_000
"""From one request to the next. A station refuses more than 250 a second of a client; however many gaps there
are, this leaves room for what else the client asks."""
MAX_WAITING = 1_000
MAX_EARLIER = 64


class _Segment:
    """The rest of one start of a stream; while `open` it is asked for up to its end, wherever that is."""

    def __init__(self, epoch: str, following: int, *, is_open: bool) -> None:
        self.epoch = epoch
        self.next = following
        self.open = is_open
        self.known = 0
        self.waiting: dict[int, AnyHeader] = {}

    @property
    def wanted(self) -> tuple[int, int] | None:
        """What has to be asked for; None if nothing."""
        if self.open:
            return self.next, NO_END
        if self.known < self.next or self.next in self.waiting:
            return None
        return self.next, min([*self.waiting, self.known + 1]) - 1


class Recovery:
    """Of one station. Give it what comes, ask it what to send, take what is `ready`."""

    def __init__(
        self,
        *,
        kinds: Iterable[str] = RECORDED_KINDS,
        epoch: str | None = None,
        backlog: Iterable[Backlog] = (),
    ) -> None:
        """Begin with what comes next, or where a backlog of the station whose start now is `epoch` begins."""
        self._kinds = frozenset(kinds)
        self._epoch = epoch
        self._from_start = epoch is not None
        self._earlier: deque[str] = deque(maxlen=MAX_EARLIER)
        self._streams: dict[str, deque[_Segment]] = {
            item.stream: deque([_Segment(item.epoch, item.first, is_open=True)]) for item in backlog
        }
        self._asked: tuple[_Segment, ReplayRequest] | None = None
        self._asked_ns = 0
        self._not_before_ns = 0
        self._number = 0
        self.ready: deque[AnyHeader | Lost] = deque()

    def handles(self, stream: str) -> bool:
        """Whether messages of this stream come out of here."""
        return stream.split("/", maxsplit=1)[0] in self._kinds

    # What comes live

    def live(self, header: AnyHeader) -> None:
        """Take in a message as it was published: of a recorded stream, or a status."""
        if header.epoch in self._earlier:
            return
        if header.epoch != self._epoch:
            self._begin(header.epoch)
        if isinstance(header, StatusHeader):
            self._note_last(header.last_seq)
        elif self.handles(header.stream):
            segment = self._segment(header.stream, joined_at=header.seq)
            segment.known = max(segment.known, header.seq)
            if header.seq >= segment.next:
                segment.waiting[header.seq] = header
                if len(segment.waiting) > MAX_WAITING:
                    del segment.waiting[max(segment.waiting)]
            self._advance(header.stream)

    def _begin(self, epoch: str) -> None:
        """A start that is new to this reader: the ends of the one before are asked for first."""
        if self._epoch is not None:
            self._earlier.append(self._epoch)
            self._from_start = True
        self._epoch = epoch
        for segments in self._streams.values():
            for segment in segments:
                segment.open = True
                segment.waiting.clear()  # it comes again with the rest of its start
            if all(segment.epoch != epoch for segment in segments):
                segments.append(_Segment(epoch, 1, is_open=False))

    def _note_last(self, last_seq: dict[str, int]) -> None:
        for stream, last in last_seq.items():
            if self.handles(stream):
                segment = self._segment(stream, joined_at=last + 1)
                segment.known = max(segment.known, last)
        self._from_start = True

    def _segment(self, stream: str, *, joined_at: int) -> _Segment:
        """The current start of a stream; one that is new begins at 1 for a reader that was there."""
        assert self._epoch is not None
        segments = self._streams.setdefault(stream, deque())
        if not segments:
            first = 1 if self._from_start else joined_at
            segments.append(_Segment(self._epoch, first, is_open=False))
        elif segments[-1].epoch != self._epoch:
            segments.append(_Segment(self._epoch, 1, is_open=False))
        return segments[-1]

    def _advance(self, stream: str) -> None:
        """Deliver what is next and waits."""
        segment = self._streams[stream][0]
        while not (segment.open and len(self._streams[stream]) > 1) and segment.next in segment.waiting:
            self.ready.append(segment.waiting.pop(segment.next))
            segment.next += 1
        for seq in [seq for seq in segment.waiting if seq < segment.next]:
            del segment.waiting[seq]

    # What is asked for

    def request(self, now_ns: int) -> ReplayRequest | None:
        """What is to be sent now; None if nothing is missing or an answer is awaited."""
        if now_ns < self._not_before_ns or (self._asked and now_ns - self._asked_ns < TIMEOUT_NS):
            return None
        self._asked = None
        for stream, segments in self._streams.items():
            wanted = segments[0].wanted if segments else None
            if wanted is not None:
                self._number += 1
                request = ReplayRequest(
                    epoch=segments[0].epoch,
                    stream=stream,
                    first=wanted[0],
                    last=wanted[1],
                    request_id=f"recovery-{self._number}",
                )
                self._asked, self._asked_ns = (segments[0], request), now_ns
                self._not_before_ns = now_ns + PACE_NS
                return request
        return None

    def due_ns(self) -> int | None:
        """When to ask `request` again without anything having come; None if not at all."""
        if self._asked is not None:
            return self._asked_ns + TIMEOUT_NS
        missing = any(segments and segments[0].wanted for segments in self._streams.values())
        return self._not_before_ns if missing else None

    def answer(self, frames: list[bytes], now_ns: int) -> None:
        """Take in an answer. One that nobody waits for any more changes nothing.

        Raises:
            MessageError: it is not an answer of this schema.
        """
        reply = decode_reply(frames[0])
        if self._asked is None or reply.request_id != self._asked[1].request_id:
            return
        segment, request = self._asked
        if isinstance(reply, ItemReply):
            if len(frames) < 2:
                raise MessageError("item: found no topic, expected topic and header.")
            self._item(request.stream, segment, decode(frames[1], frames[2:]))
            self._asked_ns = now_ns
        elif isinstance(reply, EndReply):
            self._asked = None
            self._end(request, segment, reply)
        elif isinstance(reply, ErrorReply):
            self._asked, self._not_before_ns = None, now_ns + AGAIN_NS

    def _item(self, stream: str, segment: _Segment, header: AnyHeader) -> None:
        """Out of turn if answers were lost on the way: then it is asked for again."""
        if header.stream == stream and header.epoch == segment.epoch and header.seq == segment.next:
            segment.waiting.pop(header.seq, None)
            self.ready.append(header)
            segment.next += 1
            self._advance(stream)  # what waits may follow: the rest of this answer can be lost

    def _end(self, request: ReplayRequest, segment: _Segment, reply: EndReply) -> None:
        stream = request.stream
        if reply.gone is not None and reply.gone[0] == segment.next:
            self._lose(stream, segment, reply.gone[1])
        if reply.next is not None or segment.next <= reply.last:
            return  # there is more, or items were lost on the way: ask again
        if segment.open:
            self._close(stream, segment, reply.following)
        elif segment.next <= request.last:
            self._lose(stream, segment, request.last)  # it was given, and is not even known to be gone
        self._advance(stream)

    def _close(self, stream: str, segment: _Segment, following: str | None) -> None:
        """The end of a start is reached: go on with the one after it."""
        segments = self._streams[stream]
        segment.open = False
        if following is not None and all(other.epoch != following for other in segments):
            segments.insert(1, _Segment(following, 1, is_open=True))
        if len(segments) > 1:
            self._lose(stream, segment, segment.known)
            segments.popleft()

    def _lose(self, stream: str, segment: _Segment, last: int) -> None:
        """Say that everything up to `last` is not to be had."""
        if last >= segment.next:
            self.ready.append(Lost(segment.epoch, stream, segment.next, last))
            segment.next = last + 1
