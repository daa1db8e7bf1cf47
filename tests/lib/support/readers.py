"""A station for readers of its own, and what they have read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.messages import ResultHeader
from pipeline.reader import Message
from pipeline.station import Station
from support.listener import PATIENCE_S

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.reader import Item


class Running:
    """A station in a thread, without a listener of its own."""

    def __init__(self, config: Config, *, stop_after: int | None = None) -> None:
        self.station = Station(config, stop_after=stop_after)
        self._thread = threading.Thread(target=self.station.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.station.stop()
        self.wait()

    def wait(self) -> None:
        """Until it has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def results_of(items: list[Item]) -> list[ResultHeader]:
    return [i.header for i in items if isinstance(i, Message) and isinstance(i.header, ResultHeader)]


def take_until(receive: Callable[[float], Item | None], items: list[Item], done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, f"{len(results_of(items))} results, the last items: {items[-3:]}"
        item = receive(0.05)
        if item is not None:
            items.append(item)
