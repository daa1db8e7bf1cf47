"""What waits for one browser: bounded, so that a slow one gets the newest state and costs nothing.

Rules:
1. A message of a slot (the state, a camera's picture) replaces the one that waits there.
2. The others wait in order; beyond `limit` the oldest goes, and is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque

KEPT_MESSAGES = 64


class Mailbox:
    """One browser's messages; `dropped` counts those that it was too slow for."""

    def __init__(self, limit: int = KEPT_MESSAGES) -> None:
        self.dropped = 0
        self._queue: deque[str | bytes] = deque()
        self._slots: dict[str, str | bytes] = {}
        self._limit = limit
        self._filled = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        """Add a message at the end."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._filled.set()

    def replace(self, slot: str, message: str | bytes) -> None:
        """Put a message in place of the one that waits in this slot."""
        self.dropped += slot in self._slots
        self._slots[slot] = message
        self._filled.set()

    def forget(self, slot: str) -> None:
        """Take out what waits in a slot."""
        self._slots.pop(slot, None)

    async def next(self) -> str | bytes:
        """The next message, as soon as there is one; what is in order goes first."""
        while not self._queue and not self._slots:
            self._filled.clear()
            await self._filled.wait()
        if self._queue:
            return self._queue.popleft()
        return self._slots.pop(next(iter(self._slots)))
