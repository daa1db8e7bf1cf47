"""A subscriber that keeps everything it hears of a station, and waits until it has heard something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.client import Message, ResultSubscriber
from pipeline.messages import AnyHeader, EventHeader, ResultHeader, StatusHeader

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE_S = 60.0


class Listener:
    """Hears results, and heatmaps if their address is given; a context manager."""

    def __init__(self, results: str, heatmaps: str | None = None) -> None:
        self.messages: list[Message] = []
        self.notices: list[object] = []
        self.subscriber = ResultSubscriber(results, heatmaps_endpoint=heatmaps, max_age_ms=60_000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.subscriber.close()

    def listen(self, timeout_s: float = 0.05) -> None:
        """Take in at most one message."""
        item = self.subscriber.receive(timeout_s)
        if isinstance(item, Message):
            self.messages.append(item)
        elif item is not None:
            self.notices.append(item)

    def listen_for(self, seconds: float) -> None:
        """Take in what comes in this time: for a fault that lasts so long, not to wait for a state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.listen()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Listen until the condition holds."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"{what} did not come; {self.heard()}"
            self.listen()

    def heard(self) -> str:
        """For the message of a test that waits in vain."""
        return f"results: {len(self.results)}, events: {[event.text for event in self.events]}"

    def headers(self, kind: type[AnyHeader]) -> list[Any]:
        return [message.header for message in self.messages if isinstance(message.header, kind)]

    @property
    def results(self) -> list[ResultHeader]:
        return self.headers(ResultHeader)

    @property
    def events(self) -> list[EventHeader]:
        return self.headers(EventHeader)

    @property
    def statuses(self) -> list[StatusHeader]:
        return self.headers(StatusHeader)
