"""Whose turn it is: which frame the engine gets next, and who has which slot of a ring. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from pipeline.internal import ProtocolError

if TYPE_CHECKING:
    from pipeline.frame import FrameHeader


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that waits in its slot for the engine; `ordinal` is its trigger's."""

    ordinal: int
    camera: str
    slot: int
    header: FrameHeader


class InspectionQueue:
    """First come, first served, one frame at the engine at a time.

    Bounded by the slots of the rings.
    """

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self.in_flight: Waiting | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Waiting) -> None:
        """Append a frame."""
        self._waiting.append(item)

    def next(self) -> Waiting | None:
        """Move the oldest waiting frame to the engine; None if the engine is busy or nothing waits."""
        if self.in_flight is not None or not self._waiting:
            return None
        self.in_flight = self._waiting.popleft()
        return self.in_flight

    def done(self, ordinal: int) -> Waiting:
        """Note that the engine has answered for this trigger.

        Raises:
            ProtocolError: another frame is at the engine, or none.
        """
        item = self.in_flight
        if item is None or item.ordinal != ordinal:
            raise ProtocolError(f"inspection answered for trigger {ordinal}, which it was not asked for")
        self.in_flight = None
        return item

    def clear(self) -> list[Waiting]:
        """Take everything out, the frame at the engine included."""
        items = ([self.in_flight] if self.in_flight else []) + list(self._waiting)
        self.in_flight = None
        self._waiting.clear()
        return items


class SlotAccount:
    """Who has which slot of one ring: the capture process (to fill), or the station and inspection."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._held: set[int] = set()

    @property
    def with_capture(self) -> list[int]:
        """Slots that a (re)started capture process may fill."""
        return [slot for slot in range(self.slots) if slot not in self._held]

    def take(self, slot: int) -> None:
        """Note that capture has handed over a filled slot.

        Raises:
            ProtocolError: the slot does not exist or was handed over before.
        """
        if slot in self._held or not 0 <= slot < self.slots:
            raise ProtocolError(f"capture handed over slot {slot}, which it did not have")
        self._held.add(slot)

    def release(self, slot: int) -> None:
        """Note that a slot goes back to capture.

        Raises:
            KeyError: the slot was not held.
        """
        self._held.remove(slot)
