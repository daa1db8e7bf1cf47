"""The historian as the station sees it: its process, what it was asked, which slots it reads.

Rules:
1. Nothing waits for it: what it cannot take is refused (a request) or dropped and counted (a frame).
2. Every request that it has taken is answered, by it or, when it goes, by the station.
3. A slot that it reads comes back when it says so, or when it goes.
4. Pictures are for people: one that cannot be made at once is left out, and never counted as lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.internal import Ask, Keep
from pipeline.record_config import RECORDED_KINDS
from pipeline.requests import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.access.front_desk import Asked
    from pipeline.child import Child
    from pipeline.frame import FrameHeader
    from pipeline.history.image_pace import ImagePace
    from pipeline.history.recent import Published
    from pipeline.internal import Use
    from pipeline.messages import Disposition
    from pipeline.record_config import ArchiveConfig

MAX_OPEN = 64
MAX_OPEN_OF_CLIENT = 4


class Ticket(NamedTuple):
    """A request under way: where its answer goes."""

    asked: Asked
    request_id: str | None


class HistoryLine:
    """One historian; `dropped_frames` counts frames that were to be kept and were not taken."""

    def __init__(self, child: Child, archive: ArchiveConfig | None, images: ImagePace | None = None) -> None:
        """Start with nothing asked; `images` says when a picture is due, None: never."""
        self.child = child
        self.oldest_seq: dict[str, int] = {}
        self.dropped_frames = 0
        self._archive = archive
        self._tickets: dict[int, Ticket] = {}
        self._ticket = 0
        self._images = images
        self._slots: dict[tuple[str, int], tuple[Use, ...]] = {}

    def floors(self, last_seq: Mapping[str, int]) -> dict[str, int]:
        """The first number that can be replayed of every stream that is recorded."""
        recorded = [stream for stream in last_seq if stream.split("/")[0] in RECORDED_KINDS]
        return {stream: self.oldest_seq.get(stream, 1) for stream in recorded}

    # Requests

    def ask(self, ticket: Ticket, *, published: int) -> ErrorReply | None:
        """Pass a request on; an error if it is not taken."""
        if self.child.state != "ready":
            return ErrorReply(error="failed", text="The historian is not running. Ask again later.")
        of_client = sum(other.asked.peer == ticket.asked.peer for other in self._tickets.values())
        if len(self._tickets) >= MAX_OPEN or of_client >= MAX_OPEN_OF_CLIENT:
            return ErrorReply(
                error="busy",
                text=f"Found {of_client} requests of yours under way, expected at most {MAX_OPEN_OF_CLIENT}, "
                f"and {MAX_OPEN} of all. Ask again after the answers.",
            )
        self._ticket += 1
        self._tickets[self._ticket] = ticket
        self.child.send(Ask(ticket=self._ticket, request=ticket.asked.body[0], published=published))
        return None

    def asked(self, ticket: int, *, last: bool) -> Asked | None:
        """What a part of an answer belongs to; None if nobody waits for it."""
        found = self._tickets.pop(ticket, None) if last else self._tickets.get(ticket)
        return None if found is None else found.asked

    def abandon(self) -> list[Ticket]:
        """Requests that will not be answered any more."""
        tickets, self._tickets = list(self._tickets.values()), {}
        return tickets

    # Frames

    def wants(self, disposition: Disposition, ordinal: int) -> bool:
        """Whether the frame of a result is to be kept."""
        if self._archive is None:
            return False
        every = self._archive.accept_every
        sampled = every is not None and ordinal % every == 0
        return sampled or (self._archive.rejects and disposition == "reject")

    def uses(self, camera: str, disposition: Disposition, ordinal: int, now_ns: int) -> tuple[Use, ...]:
        """What the frame of a result is wanted for now; monotonic ns."""
        kept: tuple[Use, ...] = ("archive",) if self.wants(disposition, ordinal) else ()
        due = self._images is not None and self._images.due(camera, disposition, now_ns)
        return (*kept, "image") if due else kept

    def keep(self, published: Published, frame: FrameHeader, slot: int, uses: tuple[Use, ...]) -> bool:
        """Hand a frame over; False if it is dropped, and its slot is still the caller's."""
        possible = tuple(use for use in uses if self._has_room(frame.camera, use))
        self.dropped_frames += "archive" in uses and "archive" not in possible
        if not possible:
            return False
        self._slots[(frame.camera, slot)] = possible
        self.child.send(
            Keep(
                uses=possible,
                slot=slot,
                frame=frame,
                result=published.result,
                heatmap=published.heatmap,
                payload=published.payload,
            )
        )
        return True

    def _has_room(self, camera: str, use: Use) -> bool:
        held = sum(use in uses for (name, _), uses in self._slots.items() if name == camera)
        limit = self._archive.queue_frames if use == "archive" and self._archive is not None else 1
        return self.child.state == "ready" and held < limit

    def copied(self, camera: str, slot: int) -> bool:
        """Note that a slot was read; False if it was not with the historian."""
        return self._slots.pop((camera, slot), None) is not None

    def take_slots(self) -> list[tuple[str, int]]:
        """All slots that it still held, when it has gone."""
        slots, self._slots = sorted(self._slots), {}
        return slots
