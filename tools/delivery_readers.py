"""The readers of `tools.delivery_test`, each in a thread, and what is to be held against them."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from pipeline.client import Message, ResultSubscriber
from pipeline.consumer import DurableConsumer
from pipeline.messages import ResultHeader
from pipeline.requester import RequestError
from pipeline.stream_check import Lost

if TYPE_CHECKING:
    from pipeline.reader import Item

CONSUMER = "delivery"
SLOW_S = 0.01
ACKNOWLEDGE_EVERY = 7
Place = tuple[str, int]


class Reader:
    """Reads in a thread until told to end; `got` are the results in the order of their delivery."""

    def __init__(self, name: str, addresses: dict[str, str]) -> None:
        self.name = name
        self.got: list[Place] = []
        self.again = 0
        self.lost = 0
        self._addresses = addresses
        self._ended = threading.Event()
        self._thread = threading.Thread(target=getattr(self, f"_run_{name}"), name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()

    def _note(self, item: Item | None) -> bool:
        """Whether it is a result."""
        if isinstance(item, Lost):
            self.lost += item.last - item.first + 1
        if isinstance(item, Message) and isinstance(item.header, ResultHeader):
            self.got.append((item.header.epoch, item.header.seq))
            return True
        return False

    def _subscriber(self) -> ResultSubscriber:
        return ResultSubscriber(self._addresses["results"], replay_endpoint=self._addresses["replay"])

    def _run_quick(self) -> None:
        with self._subscriber() as subscriber:
            while not self._ended.is_set():
                self._note(subscriber.receive(0.1))

    def _run_slow(self) -> None:
        """Slower than the station for half of the time."""
        with self._subscriber() as subscriber:
            while not self._ended.is_set():
                slow = int(time.monotonic()) // 5 % 2 == 0
                if self._note(subscriber.receive(0.1)) and slow:
                    self._ended.wait(SLOW_S)

    def _run_stopped(self) -> None:
        with self._subscriber() as subscriber:
            while not self._ended.is_set() and not self._note(subscriber.receive(0.1)):
                pass
            self._ended.wait()

    def _run_restarting(self) -> None:
        """What was delivered and not acknowledged comes again: at least once, and then known."""
        rng = random.Random(1)  # noqa: S311 - no secret
        seen: set[Place] = set()
        while not self._ended.is_set():
            try:
                self._session(rng.randint(50, 500), seen)
            except RequestError:
                continue  # the station is just being started again

    def _session(self, results: int, seen: set[Place]) -> None:
        addresses = self._addresses
        with DurableConsumer(CONSUMER, results=addresses["results"], replay=addresses["replay"]) as consumer:
            while results > 0 and not self._ended.is_set():
                item = consumer.receive(0.1)
                if not self._note(item):
                    continue
                results -= 1
                place = self.got[-1]
                if place in seen:
                    self.again += 1
                    self.got.pop()
                seen.add(place)
                if place[1] % ACKNOWLEDGE_EVERY == 0 and isinstance(item, Message):
                    consumer.acknowledge(item)


def check(reader: Reader, journal: list[Place], target: Place) -> list[str]:
    """What is wrong with what a reader got, in words."""
    if reader.name == "stopped":
        return []
    if not reader.got:
        return [f"{reader.name}: got nothing"]
    begin = 0 if reader.name == "restarting" else journal.index(reader.got[0])
    expected = journal[begin : journal.index(target) + 1]
    found = []
    if reader.got[: len(expected)] != expected:
        same = [got == wanted for got, wanted in zip(reader.got, expected, strict=False)]
        place = same.index(False) if False in same else len(same)
        found.append(f"{reader.name}: differs from the journal at result {place} of {len(expected)}")
    if len(set(reader.got)) != len(reader.got):
        found.append(f"{reader.name}: got results twice")
    if reader.lost:
        found.append(f"{reader.name}: {reader.lost} messages lost")
    return found
